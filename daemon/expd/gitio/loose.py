"""New objects as loose files, each whole on the disk before it has its name, each directory waited for once.

As libgit2 writes them, but without holding up every other thread of the process while the disk works.
Format: git's Documentation/gitrepository-layout: `objects/<2>/<38>`, zlib over header and content.
"""

import os
import zlib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from expd.gitio.objectfiles import put_object_files
from expd.gitio.packing import NewObject
from expd.linux.durable import sync_directory

_LEVEL = 1
"""What is written here is small; Git compresses it well when it packs."""
_TOGETHER_MAX = 32
"""Files that are open at once: what is written together is less, but for notes that a collection has taken."""


def write_loose(objects_directory: Path, objects: Iterable[NewObject]) -> None:
    """Put objects on the disk; one that is there is made young again, so that no collection takes it. Raises OSError."""
    by_place = {_place_of(objects_directory, new): new for new in objects}
    missing = ((place, _content(new)) for place, new in by_place.items() if not _is_there(place))
    while some := dict(islice(missing, _TOGETHER_MAX)):
        put_object_files("tmp_obj_", some)
    directories = {place.parent for place in by_place}
    for directory in directories:
        sync_directory(directory)
    if directories:
        sync_directory(objects_directory)


def _place_of(objects_directory: Path, new: NewObject) -> Path:
    name = new.id.hex()
    return objects_directory / name[:2] / name[2:]


def _content(new: NewObject) -> bytes:
    return zlib.compress(b"%b %d\0" % (new.kind.encode(), len(new.data)) + new.data, _LEVEL)


def _is_there(place: Path) -> bool:
    """Tell whether the object is there, and make it young; an empty file, as a power cut leaves it, is none."""
    try:
        if place.stat().st_size == 0:
            return False
        os.utime(place)
    except OSError:  # not there, or not ours to touch: then it is written anew
        return False
    return True
