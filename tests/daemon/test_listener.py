"""The socket's place: private from its first moment, one daemon's at a time, and never more peers than it can serve."""

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from expd.linux.durable import NotPrivate
from expd.serve.listener import (
    GREETERS_MAX,
    Address,
    AlreadyRunning,
    Door,
    Greeted,
    TooManyClients,
    UnusableAddress,
    serve,
)
from helpers.daemons import RunningDaemon
from helpers.waiting import eventually

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


def test_the_socket_is_private_from_its_first_moment(tmp_path: Path) -> None:
    """Whoever looks while it is made, with a umask that forbids nothing, sees mode 0600 in a directory of mode 0700."""
    directory = tmp_path / "run"
    address = Address(directory)
    seen, over = set[int](), threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                seen.add(stat.S_IMODE(address.socket_path.lstat().st_mode))
            except FileNotFoundError:
                continue

    before = os.umask(0)
    looking = threading.Thread(target=look)
    looking.start()
    try:
        address.take()
        for _time in range(200):
            address.bind({}).close()
    finally:
        over.set()
        looking.join()
        os.umask(before)
        address.give_back()

    assert seen <= {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def _link(path: Path) -> None:
    (path.parent / "real").mkdir(mode=0o700)
    path.symlink_to("real")


def _dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _open_directory(path: Path) -> None:
    path.mkdir()
    path.chmod(0o755)


def _group_directory(path: Path) -> None:
    path.mkdir()
    path.chmod(0o710)


def _file(path: Path) -> None:
    path.write_text("")


def _foreign(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, NOBODY, NOBODY)


@pytest.mark.parametrize(
    ("occupy", "what"),
    [
        (_link, "is not a directory"),
        (_dangling_link, "is not a directory"),
        (_open_directory, "chmod 700"),
        (_group_directory, "chmod 700"),
        (_file, "is not a directory"),
        pytest.param(_foreign, "belongs to user 65534", marks=as_root),
    ],
)
def test_a_place_others_can_reach_is_refused(tmp_path: Path, occupy: Callable[[Path], None], what: str) -> None:
    """A runtime directory that is a link, open or somebody else's is named with what is wrong, and not used."""
    occupy(tmp_path / "run")

    with pytest.raises(NotPrivate, match=what):
        Address(tmp_path / "run").take()

    assert not (tmp_path / "run" / "expd.lock").exists()


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    """Before anything is made, a path beyond sockaddr_un's limit is refused with the way out."""
    with pytest.raises(UnusableAddress, match="EXPD_RUNTIME_DIR"):
        Address(tmp_path / ("x" * 120)).take()

    assert list(tmp_path.iterdir()) == []


def test_a_place_is_one_daemons(tmp_path: Path) -> None:
    """While one has it another is refused; given back, it is free, and the socket is gone."""
    first, second = Address(tmp_path / "run"), Address(tmp_path / "run")
    first.take()
    first.bind({}).close()

    with pytest.raises(AlreadyRunning):
        second.take()
    there = first.socket_path.exists()
    first.give_back()
    gone = not first.socket_path.exists()
    second.take()
    second.give_back()

    assert (there, gone) == (True, True)


def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    """What a daemon that died left at the path, of whatever kind, is in nobody's way."""
    address = Address(tmp_path / "run")
    address.take()
    address.socket_path.symlink_to(tmp_path / "elsewhere")

    with address.bind({}), socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(address.socket_path))
        kind = stat.S_IFMT(address.socket_path.lstat().st_mode)
    address.give_back()

    assert kind == stat.S_IFSOCK
    assert not (tmp_path / "elsewhere").exists()


def test_a_socket_that_is_seen_listens(tmp_path: Path) -> None:
    """Whoever finds the socket while it is made can connect at once: it is not there before it listens."""
    address = Address(tmp_path / "run")
    address.take()
    refused, over = [], threading.Event()

    def connect() -> None:
        while not over.is_set():
            with socket.socket(socket.AF_UNIX) as peer:
                peer.setblocking(False)
                try:
                    peer.connect(str(address.socket_path))
                except (FileNotFoundError, BlockingIOError):
                    continue
                except ConnectionRefusedError as error:
                    refused.append(error)

    connecting = threading.Thread(target=connect)
    connecting.start()
    try:
        listening = [address.bind({}) for _time in range(200)]
    finally:
        over.set()
        connecting.join()
        address.give_back()
    for each in listening:
        each.close()

    assert refused == []


@pytest.mark.parametrize("ends", ["leaves", "greets"])
async def test_so_many_peers_greet_at_once_and_no_more(tmp_path: Path, ends: str) -> None:
    """Beyond the limit a peer waits, and is heard as soon as another has left, or has said who it is."""
    address = Address(tmp_path / "run")
    address.take()
    listening, served = address.bind({}), 0

    async def handle(stream: trio.SocketStream, greeted: Greeted) -> None:
        nonlocal served
        served += 1
        try:
            if await stream.receive_some(1):
                greeted()
                await stream.receive_some(1)
        finally:
            await trio.aclose_forcefully(stream)

    peers = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, listening, Door(), handle)
        for _peer in range(GREETERS_MAX + 1):
            peers.append(await trio.open_unix_socket(address.socket_path))
            await trio.testing.wait_all_tasks_blocked()
        at_the_limit = served
        if ends == "leaves":
            await peers[0].aclose()
        else:
            await peers[0].send_all(b"x")
        await trio.testing.wait_all_tasks_blocked()
        after_one_left = served
        nursery.cancel_scope.cancel()
    for peer in peers:
        await peer.aclose()
    listening.close()
    address.give_back()

    assert (at_the_limit, after_one_left) == (GREETERS_MAX, GREETERS_MAX + 1)


CONNECT = """
import os, socket, sys
peer = socket.socket(socket.AF_UNIX)
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
try:
    peer.connect(sys.argv[1])
    print("heard", peer.recv(100))
except OSError as error:
    print(type(error).__name__)
"""


def _connect_as_nobody(path: Path) -> str:
    script = CONNECT.format(nobody=NOBODY)
    return subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    ).stdout.strip()


@as_root
def test_another_user_does_not_reach_the_socket(daemon: RunningDaemon) -> None:
    """The kernel turns away whoever is not the daemon's user."""
    daemon.directory.chmod(0o755)

    assert _connect_as_nobody(daemon.socket) == "PermissionError"


@as_root
def test_another_user_is_turned_away_where_the_modes_fail(daemon: RunningDaemon) -> None:
    """With directory and socket opened by somebody's mistake, a foreign peer hears not one byte, and is in the journal."""
    for path, mode in ((daemon.directory, 0o755), (daemon.socket.parent, 0o755), (daemon.socket, 0o777)):
        path.chmod(mode)

    heard = _connect_as_nobody(daemon.socket)

    assert heard in {"heard b''", "ConnectionResetError"}
    eventually(lambda: f"user {NOBODY} " in daemon.journal(), "the journal names the user")
    assert daemon.expctl_json(daemon.directory, "daemon", "status")["pid"] == daemon.process.pid


def test_no_socket_is_abstract(daemon: RunningDaemon) -> None:
    """The daemon listens at a path, which has permissions, and nowhere else."""
    inodes = {
        link.readlink().name.removeprefix("socket:[").rstrip("]")
        for link in Path(f"/proc/{daemon.process.pid}/fd").iterdir()
        if str(link.readlink()).startswith("socket:")
    }
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]

    names = {line[7] for line in lines if line[6] in inodes and len(line) > 7}
    assert [name for name in names if not name.startswith(f"{daemon.socket.parent}/")] == []
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(daemon.socket))


def test_places_are_a_share_of_the_descriptors() -> None:
    """Where a process may have few descriptors open there are few places; one client beyond them is refused with the number."""
    door = Door(descriptors=64)

    with ExitStack() as places:
        for _client in range(16):
            places.enter_context(door.a_client())
        with pytest.raises(TooManyClients, match="16 clients are connected"):
            places.enter_context(door.a_client())
    with door.a_client():
        assert Door(descriptors=1024).clients_max == 256
