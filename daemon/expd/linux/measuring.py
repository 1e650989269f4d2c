"""How much room something takes: blocks, as du(1) counts them, each file once however many names it has there."""

import os
from collections.abc import Iterator
from pathlib import Path

_BLOCK_BYTES = 512
"""The unit of st_blocks (stat(2))."""


def size_of(path: Path) -> int:
    """Give the bytes on the disk of a file; 0 if it is not there."""
    try:
        return path.lstat().st_blocks * _BLOCK_BYTES
    except OSError:
        return 0


def size_below(directory: Path) -> int:
    """Give the bytes on the disk of a directory and everything below it; no link is followed."""
    seen: dict[tuple[int, int], int] = {}
    for status in _walk(directory):
        seen[status.st_dev, status.st_ino] = status.st_blocks * _BLOCK_BYTES
    return sum(seen.values())


def _walk(directory: Path) -> Iterator[os.stat_result]:
    try:
        yield directory.lstat()
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(Path(entry.path))
                else:
                    yield entry.stat(follow_symlinks=False)
    except OSError:
        return
