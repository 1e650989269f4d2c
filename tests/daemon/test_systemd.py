"""What the daemon and systemd say to each other: notifications on a real datagram socket, sockets passed to a real process."""

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from expd.linux.systemd import Notifier, forget

TAKE = """
    import os, sys
    from pathlib import Path
    from expd.linux.systemd import passed_socket

    os.environ["LISTEN_PID"] = str(os.getpid()) if sys.argv[2] == "ours" else "1"
    try:
        passed = passed_socket(os.environ, Path(sys.argv[1]))
    except OSError as error:
        print(error)
    else:
        print(None if passed is None else (passed.getsockname(), passed.getblocking(), passed.get_inheritable()))
"""


@contextmanager
def _manager(directory: Path) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(directory / "notify"))
        listening.setblocking(False)
        yield listening, str(directory / "notify")


def _heard(listening: socket.socket) -> list[str]:
    heard = []
    while True:
        try:
            heard.append(listening.recv(4096).decode())
        except BlockingIOError:
            return heard


def test_readiness_state_and_end_are_told(tmp_path: Path) -> None:
    """A service is ready with a status, says a new status once, and says when it ends."""
    with _manager(tmp_path) as (listening, address):
        notifier = Notifier({"NOTIFY_SOCKET": address})
        notifier.ready("0 running, 2 queued")
        notifier.beat("0 running, 2 queued")
        notifier.beat("1 running, 1 queued")
        notifier.stopping("ending: leave")

        heard = _heard(listening)

    assert heard == [
        "READY=1\nSTATUS=0 running, 2 queued",
        "STATUS=1 running, 1 queued",
        "STOPPING=1\nSTATUS=ending: leave",
    ]


def test_a_reload_is_told_from_its_begin_to_its_end(tmp_path: Path) -> None:
    """systemd learns that settings are read again, when that began, and that it is over."""
    with _manager(tmp_path) as (listening, address):
        notifier = Notifier({"NOTIFY_SOCKET": address})
        notifier.reloading()
        notifier.ready("0 running, 0 queued")

        begin, end = _heard(listening)

    assert begin.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert end.startswith("READY=1\n")


def test_the_watchdog_is_fed_as_often_as_it_asks(tmp_path: Path) -> None:
    """A beat is told at most four times in the watchdog's time, and asked for twice in it."""
    with _manager(tmp_path) as (listening, address):
        notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3600000000"})
        notifier.beat()
        notifier.beat()

        heard = _heard(listening)

    assert heard == ["WATCHDOG=1"]
    assert notifier.beat_seconds == 1800


@pytest.mark.parametrize(
    "environ",
    [{}, {"NOTIFY_SOCKET": "not a path"}, {"NOTIFY_SOCKET": "/nowhere/notify"}, {"WATCHDOG_USEC": "60000000"}],
    ids=["no systemd", "no address", "nobody listens", "a watchdog without an address"],
)
def test_where_nobody_listens_nothing_is_said(environ: dict[str, str]) -> None:
    """Without systemd, and where it has gone, a notification is no error."""
    notifier = Notifier(environ)

    notifier.ready("x")
    notifier.beat("y")
    notifier.stopping("z")

    assert notifier.beat_seconds is None


def test_a_watchdog_of_another_process_is_not_ours(tmp_path: Path) -> None:
    """What a parent was told to do is not passed on by its environment."""
    with _manager(tmp_path) as (_listening, address):
        notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"})

    assert notifier.watchdog_seconds is None


def test_what_one_process_is_told_is_forgotten_for_others() -> None:
    """Of systemd's variables none goes to a worker; the rest stays."""
    environ = {"NOTIFY_SOCKET": "/x", "LISTEN_FDS": "1", "WATCHDOG_USEC": "1", "PATH": "/bin"}

    forget(environ)

    assert environ == {"PATH": "/bin"}


def _taken(path: Path, passed: socket.socket, whose: str) -> str:
    """Give what a process says that is started with a socket as its descriptor 3."""
    script = textwrap.dedent(TAKE)
    shell = f'exec "$0" -c "$1" "$2" "$3" 3<&{passed.fileno()}'
    ended = subprocess.run(
        ["bash", "-c", shell, sys.executable, script, str(path), whose],
        env={**os.environ, "LISTEN_FDS": "1"},
        pass_fds=[passed.fileno()],
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


def test_a_passed_socket_is_taken(tmp_path: Path) -> None:
    """The socket that systemd listens on for us is served, neither blocking nor passed on to what we start."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "sock"))
        listening.listen()

        taken = _taken(tmp_path / "sock", listening, "ours")

    assert taken == str((str(tmp_path / "sock"), False, False))


def test_a_socket_passed_to_another_process_is_left_alone(tmp_path: Path) -> None:
    """LISTEN_PID says for whom a socket is: descriptors of a parent's service are not ours."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "sock"))

        assert _taken(tmp_path / "sock", listening, "another's") == "None"


def test_a_passed_socket_at_another_place_is_refused(tmp_path: Path) -> None:
    """A unit that listens where no client connects keeps the daemon from starting, with the place that is meant."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "other"))

        assert f"none is a stream socket at {tmp_path / 'sock'}" in _taken(tmp_path / "sock", listening, "ours")
