"""Hashes remembered by what `stat` says of a file, so that what did not change is not read again.

Promise: an entry is trusted only if path, device, inode, size, mtime and ctime are all the same, and none is made for a
file that changed so recently that another write could leave the same times behind (Git's "racily clean" files). Safe to
share between threads: every operation is one dictionary access.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

RACY_NANOSECONDS = 50_000_000  # several ticks of the kernel clock that stamps files: at most 10 ms at 100 Hz
ENTRIES_MAX = 1_000_000  # about 300 bytes each; a project beyond that hashes again


class MemoKey(NamedTuple):
    """What must be unchanged for a hash to hold. Times in nanoseconds since the epoch, size in bytes."""

    path: str
    device: int
    inode: int
    mtime_ns: int
    ctime_ns: int
    size: int


def key_of(path: str, status: os.stat_result) -> MemoKey:
    """The key of the file at `path`."""
    return MemoKey(path, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


class HashMemo:
    """File → md5, in memory; `save` and `load` keep it across restarts."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._known: dict[str, tuple[MemoKey, str]] = {}

    def get(self, key: MemoKey) -> str | None:
        """The md5 of the file, if nothing about it changed."""
        known = self._known.get(key.path)
        return known[1] if known is not None and known[0] == key else None

    def now_ns(self) -> int:
        """The wall clock that stamps files, in nanoseconds; to be read before a file is."""
        return self._now_ns()

    def put(self, key: MemoKey, md5: str, read_from_ns: int) -> None:
        """Remember the md5 of the file; `read_from_ns` is the time at which reading it began."""
        is_racy = max(key.mtime_ns, key.ctime_ns) > read_from_ns - RACY_NANOSECONDS
        if is_racy or len(self._known) >= ENTRIES_MAX:
            self._known.pop(key.path, None)
        else:
            self._known[key.path] = (key, md5)

    def __len__(self) -> int:
        return len(self._known)

    def save(self, file: Path) -> None:
        """Write everything to `file`, replacing it as a whole."""
        partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps([[*key, md5] for key, md5 in self._known.values()]), "utf-8")
        partial.replace(file)

    def load(self, file: Path) -> None:
        """Read what `save` wrote. A missing or damaged file is no knowledge, never an error."""
        try:
            rows: object = json.loads(file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return
        if not isinstance(rows, list):
            return
        for row in rows:
            match row:
                case [str(path), int(device), int(inode), int(mtime), int(ctime), int(size), str(md5)]:
                    self._known[path] = (MemoKey(path, device, inode, mtime, ctime, size), md5)
                case _:
                    continue
