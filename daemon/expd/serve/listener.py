"""The socket: in a directory only we can enter, born with mode 0600, under a lock that says whose it is."""

import errno
import logging
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import trio

from expd.linux import presence
from expd.linux.durable import check_private, private_directory, try_lock
from expd.linux.systemd import passed_socket
from expproto.address import SOCKET_NAME, SOCKET_PATH_BYTES_MAX

_journal = logging.getLogger("expd.serve")

_BACKLOG = 128
_BINDING_NAME = "expd.bind"
"""Where the socket is born: no longer than its own name, since its path has a limit."""
GREETERS_MAX = 256
"""Connections that have not greeted yet; they have seconds for it. Clients that stay keep no worker from coming in."""
CLIENTS_MAX = 256
"""Clients at once: each follower is one. Workers are not counted, there are as many as slots."""
_DESCRIPTORS_A_PLACE = 4
"""What the limit of descriptors is divided by, for either kind: half is left to the store, to workers, and to Git for moments."""
_ACCEPT_PAUSE_MIN_SECONDS, _ACCEPT_PAUSE_MAX_SECONDS = 0.1, 2.0
"""Nothing tells when a descriptor is free again; whoever connects is waiting."""
_ACCEPT_CAPACITY_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}


class AlreadyRunning(Exception):
    """Another daemon holds the lock of `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


class StateTaken(Exception):
    """Another daemon, which listens at `socket`, works with the state directory `path`."""

    def __init__(self, path: Path, socket_path: str) -> None:
        super().__init__(str(path))
        self.path = path
        self.socket = socket_path


class UnusableAddress(Exception):
    """The socket can't be where it should be; the message says why and what to do."""


class Address:
    """The daemon's place in the runtime directory: taken under a lock, given back with its socket."""

    def __init__(self, runtime_directory: Path) -> None:
        self.socket_path = runtime_directory / SOCKET_NAME
        self._directory = runtime_directory
        self._lock: int | None = None
        self._is_passed = False

    def take(self) -> None:
        """Take the place; raises AlreadyRunning, NotPrivate or UnusableAddress."""
        if len(os.fsencode(self.socket_path)) > SOCKET_PATH_BYTES_MAX:
            raise UnusableAddress(
                f"{self.socket_path} is longer than the {SOCKET_PATH_BYTES_MAX} bytes a socket's path may have: "
                "set EXPD_RUNTIME_DIR to a shorter directory"
            )
        check_private(private_directory(self._directory))
        self._lock = try_lock(self._directory / "expd.lock")
        if self._lock is None:
            raise AlreadyRunning(self.socket_path)

    def bind(self, environ: Mapping[str, str]) -> socket.socket:
        """Give the listening socket: the one that systemd passed, or a new one.

        A new one listens, and only then appears at the path. What a daemon that died left there is replaced, which is safe
        under the lock. What systemd passed is its own: it stays when we end, and whoever connects meanwhile waits.
        """
        assert self._lock is not None
        passed = passed_socket(environ, self.socket_path)
        if passed is not None:
            self._is_passed = True
            return passed
        binding = self.socket_path.with_name(_BINDING_NAME)
        binding.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        os.fchmod(listening.fileno(), 0o600)
        listening.bind(str(binding))
        binding.chmod(0o600)
        listening.listen(_BACKLOG)
        binding.rename(self.socket_path)
        return listening

    def announce(self) -> None:
        """Tell workers of earlier daemons that this one is there."""
        presence.announce(self.socket_path)

    def withdraw(self) -> None:
        """Tell workers that this daemon goes, before their connections break: they would connect at once, and wake the next."""
        presence.withdraw(self.socket_path)

    def give_back(self) -> None:
        """Remove the socket, if it is ours, then release the lock: nobody finds the one without the other."""
        if self._lock is not None:
            self.withdraw()
            if not self._is_passed:
                self.socket_path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None


class TooManyClients(Exception):
    """There is no place for one more: `most` are connected."""

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} clients are connected, which is the most")
        self.most = most


class Door:
    """Places of connections: few for those that have not said who they are, and those of clients, which workers need none of."""

    def __init__(self, descriptors: int | None = None) -> None:
        if descriptors is None:
            descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        places = max(1, descriptors // _DESCRIPTORS_A_PLACE)
        self.clients_max = min(CLIENTS_MAX, places)
        self.greeting = trio.Semaphore(min(GREETERS_MAX, places))
        self._clients = 0

    @contextmanager
    def a_client(self) -> Iterator[None]:
        """Have the place of a client while inside; raises TooManyClients."""
        if self._clients >= self.clients_max:
            raise TooManyClients(self.clients_max)
        self._clients += 1
        try:
            yield
        finally:
            self._clients -= 1


Greeted = Callable[[], None]
"""Said by a handler when a connection has greeted, and needs no place of those that have not."""


def take_state(directory: Path, socket_path: Path) -> int:
    """Take the state directory for the daemon that listens at a socket, and give the lock; raises StateTaken.

    The socket's lock is not enough: in a shell without XDG_RUNTIME_DIR the socket is elsewhere, and the state the same.
    """
    path = directory / "expd.lock"
    lock = try_lock(path)
    if lock is None:
        raise StateTaken(directory, path.read_text(encoding="utf-8", errors="replace").strip())
    os.ftruncate(lock, 0)
    os.write(lock, os.fsencode(f"{socket_path}\n"))
    return lock


async def serve(
    listening: socket.socket, door: Door, handler: Callable[[trio.SocketStream, Greeted], Awaitable[None]]
) -> None:
    """Accept connections until cancelled, one task each, as long as there is a place to greet."""
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))

    async def serve_one(stream: trio.SocketStream) -> None:
        is_greeting = True

        def greeted() -> None:
            nonlocal is_greeting
            if is_greeting:
                is_greeting = False
                door.greeting.release()

        try:
            await handler(stream, greeted)
        finally:
            greeted()

    async with trio.open_nursery() as nursery:
        while True:
            await door.greeting.acquire()
            nursery.start_soon(serve_one, await _accept(listener))


async def _accept(listener: trio.SocketListener) -> trio.SocketStream:
    """Accept one connection; when descriptors or memory run out, wait a little for some to come back."""
    pause = _ACCEPT_PAUSE_MIN_SECONDS
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            if error.errno not in _ACCEPT_CAPACITY_ERRORS:
                raise
            _journal.error("no connection can be accepted now: %s; trying again in %g s", error, pause)
        await trio.sleep(pause)
        pause = min(2 * pause, _ACCEPT_PAUSE_MAX_SECONDS)
