"""Files of the object store, each whole on the disk before it has its name; names that are nobody's are such as `git gc` knows."""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_FILE_MODE = 0o444
_TRIES_MAX = 10
"""`git prune` removes directories that are empty, and its own kind of unfinished files, also between two steps of ours."""


def put_object_files(prefix: str, contents: Mapping[Path, bytes]) -> None:
    """Write files beside their places, sync them, and give them their names in this order; raises OSError.

    All are written before the first is waited for: the disk then takes them together, and not one after the other.
    """
    for attempt in range(_TRIES_MAX):
        try:
            _put(prefix, contents)
        except FileNotFoundError:
            if attempt == _TRIES_MAX - 1:
                raise
        else:
            return


def _put(prefix: str, contents: Mapping[Path, bytes]) -> None:
    unfinished: dict[str, int] = {}
    try:
        for place, data in contents.items():
            temporary, descriptor = _create(prefix, place.parent)
            unfinished[temporary] = descriptor
            _write(descriptor, data, is_alone=len(contents) == 1)
        for descriptor in unfinished.values():
            os.fsync(descriptor)
        for temporary, place in zip(tuple(unfinished), contents, strict=True):
            os.rename(temporary, place)  # noqa: PTH104 - a Path for each would cost more than the call
            os.close(unfinished.pop(temporary))
    finally:
        for temporary, descriptor in unfinished.items():
            with suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108 - as above
            os.close(descriptor)


def _create(prefix: str, directory: Path) -> tuple[str, int]:
    """Make an empty file under a name that is nobody's, and its directory where that is missing."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for attempt in range(_TRIES_MAX):
        temporary = f"{directory}/{prefix}{secrets.token_hex(8)}"
        try:
            return temporary, os.open(temporary, flags, 0o600)
        except FileNotFoundError:
            if attempt == _TRIES_MAX - 1:
                raise
            directory.mkdir(exist_ok=True)
    raise AssertionError("the last try either succeeds or raises")


def _write(descriptor: int, data: bytes, *, is_alone: bool) -> None:
    """Write a file whole; where others follow, the disk begins with it at once (Python knows no sync_file_range(2))."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fchmod(descriptor, _FILE_MODE)
    if not is_alone:
        with suppress(OSError):  # it is only advice
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
