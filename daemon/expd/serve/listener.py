"""The socket: in a directory only we can enter, born with mode 0600, under a lock that says whose it is."""

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
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
CONNECTIONS_MAX = 256
"""Open at once: each follower is one; a soft limit of 1,024 descriptors stays far away."""
_ACCEPT_PAUSE_SECONDS = 0.1
_ACCEPT_CAPACITY_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}


class AlreadyRunning(Exception):
    """Another daemon holds the lock of `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


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


async def serve(listening: socket.socket, handler: Callable[[trio.SocketStream], Awaitable[None]]) -> None:
    """Accept connections until cancelled, one task each, never more at once than CONNECTIONS_MAX."""
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
    places = trio.Semaphore(CONNECTIONS_MAX)

    async def serve_one(stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        finally:
            places.release()

    async with trio.open_nursery() as nursery:
        while True:
            await places.acquire()
            nursery.start_soon(serve_one, await _accept(listener))


async def _accept(listener: trio.SocketListener) -> trio.SocketStream:
    """Accept one connection; when descriptors or memory run out, wait a little for some to come back."""
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            if error.errno not in _ACCEPT_CAPACITY_ERRORS:
                raise
            _journal.error("no connection can be accepted now: %s", error)
            await trio.sleep(_ACCEPT_PAUSE_SECONDS)
