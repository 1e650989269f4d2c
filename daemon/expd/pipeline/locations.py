"""Absolute, normalised locations, as text: what is compared, and what containment means.

Promise: pure string operations; symbolic links are never resolved, because DVC compares paths as they are written.
"""

import posixpath
from collections.abc import Iterator
from itertools import pairwise


def locate(directory: str, path: str) -> str:
    """`path`, seen from the absolute `directory`, as an absolute normalised location."""
    return posixpath.normpath(posixpath.join(directory, path))


def is_within(location: str, directory: str) -> bool:
    """Whether `location` is `directory` or lies below it."""
    return location == directory or location.startswith(directory.rstrip("/") + "/")


def relative(location: str, directory: str) -> str:
    """`location` as seen from `directory`, with `..` where needed."""
    if location.startswith(f"{directory}/"):  # nearly always; relpath takes several times as long
        below = posixpath.normpath(location[len(directory) + 1 :].lstrip("/"))
        if not below.startswith(".."):
            return below
    return posixpath.relpath(location, directory)


def ancestors(location: str) -> Iterator[str]:
    """Every directory above `location`, nearest first, without the root of the file system."""
    parent = posixpath.dirname(location)
    while parent not in {"/", ""}:
        yield parent
        parent = posixpath.dirname(parent)


def as_written(path: str, root: str, wdir: str) -> str:
    """What DVC keeps of a declared path: an absolute one inside the project becomes relative to `wdir`."""
    if posixpath.isabs(path) and posixpath.normpath(path) != root and is_within(posixpath.normpath(path), root):
        return relative(posixpath.normpath(path), wdir)
    return path


_PRIVATE_TO_DVC = frozenset({"cache", "tmp", "config.local"})
"""Below `.dvc`: data, and settings with passwords; never part of a commit, even where `.dvc/.gitignore` is missing."""


def is_private_to_dvc(path: str) -> bool:
    """Tell whether a relative path is, or lies below, what DVC keeps to itself."""
    parts = path.split("/")
    return any(parent == ".dvc" and name in _PRIVATE_TO_DVC for parent, name in pairwise(parts))
