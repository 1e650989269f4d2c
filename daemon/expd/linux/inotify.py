"""One inotify(7) instance for all files that are watched: a bell rings when a file grows or a name appears.

One instance, because a user may have 128 of them and a daemon any number of followers.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from expd.bell import Bell

IN_MODIFY, IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE = 0x2, 0x8, 0x80, 0x100
_EVENT_HEADER = struct.Struct("iIII")
_READ_BYTES = 64 * 1024


class Watcher:
    """Rings bells; `run` must be running for as long as it is used."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise _os_error("inotify_init1")
        self._bells: dict[int, list[Bell]] = {}

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)

    @contextmanager
    def ringing(self, path: Path, bell: Bell) -> Iterator[None]:
        """Ring `bell` while inside, whenever the file is written or something appears in the directory."""
        mask = IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
        watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask)
        if watch < 0:
            raise _os_error(str(path))
        bells = self._bells.setdefault(watch, [])
        bells.append(bell)
        try:
            yield
        finally:
            bells.remove(bell)
            if not bells:
                del self._bells[watch]
                self._libc.inotify_rm_watch(self._descriptor, watch)

    async def run(self) -> None:
        """Read events and ring, until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._descriptor)
            for watch in self._read_watches():
                for bell in self._bells.get(watch, ()):
                    bell.ring()

    def _read_watches(self) -> Iterator[int]:
        """Give each watch that has news; an overflow (watch -1) is news for all."""
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        position = 0
        while position < len(data):
            watch, _mask, _cookie, name_bytes = _EVENT_HEADER.unpack_from(data, position)
            position += _EVENT_HEADER.size + name_bytes
            yield from list(self._bells) if watch == -1 else [watch]


def _os_error(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), what)
