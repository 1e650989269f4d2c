"""New objects as loose files, each whole on the disk before it has its name, each directory waited for once.

As libgit2 writes them, but without holding up every other thread of the process while the disk works.
Format: git's Documentation/gitrepository-layout: `objects/<2>/<38>`, zlib over header and content.
"""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from expd.gitio.packing import NewObject, put_object_file
from expd.linux.durable import sync_directory

_LEVEL = 1
"""What is written here is small; Git compresses it well when it packs."""
_TRIES_MAX = 10
"""`git prune` removes directories that are empty, also between two steps of ours."""


def write_loose(objects_directory: Path, objects: Iterable[NewObject]) -> None:
    """Put objects on the disk; one that is there is made young again, so that no collection takes it. Raises OSError."""
    directories = {_write(objects_directory, new) for new in objects}
    for directory in directories:
        sync_directory(directory)
    if directories:
        sync_directory(objects_directory)


def _write(objects_directory: Path, new: NewObject) -> Path:
    """Write one object, and give the directory whose names are still to be synced."""
    name = new.id.hex()
    directory = objects_directory / name[:2]
    place = directory / name[2:]
    if _is_there(place):
        return directory
    data = zlib.compress(b"%b %d\0" % (new.kind.encode(), len(new.data)) + new.data, _LEVEL)
    for attempt in range(_TRIES_MAX):
        try:
            directory.mkdir(exist_ok=True)
            put_object_file("tmp_obj_", place, data)
        except FileNotFoundError:
            if attempt == _TRIES_MAX - 1:
                raise
        else:
            break
    return directory


def _is_there(place: Path) -> bool:
    """Tell whether the object is there, and make it young; an empty file, as a power cut leaves it, is none."""
    try:
        if place.stat().st_size == 0:
            return False
        os.utime(place)
    except OSError:  # not there, or not ours to touch: then it is written anew
        return False
    return True
