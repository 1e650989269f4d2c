"""The limit of a run log: beyond it the middle is cut out, and its first and its newest part stay.

The commands write the file themselves, and nothing stands in between: below the limit it costs a look now and then.
What is cut is a hole that is punched into the file (fallocate(2)), so that every place in it stays what it was: marks
still fit, and whoever follows and keeps up misses nothing. A reader skips the hole (SEEK_DATA of lseek(2)).
"""

import ctypes
import logging
import os
from collections.abc import Callable
from pathlib import Path

import trio

from expd.bell import Bell
from expd.linux.inotify import Watcher

_journal = logging.getLogger("expd.execute")

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # fallocate(2)
_BLOCK_BYTES = 4096
_LOOK_SECONDS_MIN, _LOOK_SECONDS_MAX = 0.05, 5.0
_BYTES_PER_SECOND = 10**9
"""What a command may write at most, for the time of the next look: a fast one fills the page cache at about this rate."""


class LogCap:
    """Keeps a log within `bytes_max` bytes on the disk, but for what is written between two looks.

    `tell` hears of the first cut. Half the limit is kept of the beginning, and at least a quarter of the end.
    """

    def __init__(self, descriptor: int, bytes_max: int, tell: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._bytes_max = bytes_max
        self._tell = tell
        block = max(_BLOCK_BYTES, os.fstat(descriptor).st_blksize)
        self._block = block if block <= bytes_max // 8 else _BLOCK_BYTES
        self._head = self._aligned(bytes_max // 2)
        self._hole_end = self._head
        self._is_cut = False

    def look(self) -> float:
        """Cut if there is too much, and say after how many seconds to look again at the earliest."""
        size = os.fstat(self._descriptor).st_size
        if self._kept(size) > self._bytes_max:
            self._cut(size)
        room = max(0, self._bytes_max - self._kept(size))
        return min(_LOOK_SECONDS_MAX, max(_LOOK_SECONDS_MIN, room / _BYTES_PER_SECOND))

    async def run(self, path: Path, watcher: Watcher) -> None:
        """Look whenever something was written, with a pause after each look; until cancelled."""
        while True:
            grown = Bell()
            try:
                with watcher.ringing(path, grown):
                    written, pause = grown.next_ring, self.look()
                    await written.wait()
            except OSError as error:  # the user has no inotify watch left, or the log was deleted: look by the clock
                _journal.debug("%s can't be watched: %s", path, error)
                pause = max(self.look(), 1.0)
            await trio.sleep(pause)

    def _kept(self, size: int) -> int:
        return size - (self._hole_end - self._head)

    def _cut(self, size: int) -> None:
        end = self._aligned(size - self._bytes_max // 4)
        if end <= self._hole_end:
            return
        try:
            punch_hole(self._descriptor, self._hole_end, end)
        except OSError as error:  # a file system without holes: the beginning stays, and what is written from now on
            _journal.warning("the middle of a log can't be cut out (%s): its end is", error)
            os.ftruncate(self._descriptor, self._head)
            end = self._head
        self._hole_end = end
        if not self._is_cut:
            self._is_cut = True
            self._tell(
                f"expd: the log has reached its limit of {self._bytes_max} bytes (log_bytes_max): "
                f"its first {self._head} bytes and the newest stay, what is between is cut out"
            )

    def _aligned(self, place: int) -> int:
        return place // self._block * self._block


def punch_hole(descriptor: int, start: int, end: int) -> None:
    """Free the blocks of a piece of a file; its size and every place in it stay. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    if libc.fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, start, end - start) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
