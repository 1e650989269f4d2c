"""Tree objects as bytes: read, changed at a few paths, written; only what lies on the way to a change is touched.

libgit2 edits a tree through an index of all of its files, which a sweep would pay again for every point.
Format: git's Documentation/gitformat-tree (mode, space, name, NUL, 20 bytes of id; sorted as if directories ended in `/`).
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

DIRECTORY = 0o040000
_ID_BYTES = 20


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One name of a tree: Git mode and the 20 bytes of the object's id."""

    mode: int
    id: bytes


Entries: TypeAlias = dict[bytes, TreeEntry]
Changes: TypeAlias = Mapping[str, TreeEntry | None]
"""What stands at some paths; None for no file there, a directory stays. No path lies below another."""


def parse_tree(data: bytes) -> Entries:
    """Read a tree object; raises ValueError for one that is cut off."""
    entries: Entries = {}
    at = 0
    while at < len(data):
        space = data.index(b" ", at)
        end = data.index(b"\0", space)
        after = end + 1 + _ID_BYTES
        if after > len(data):
            raise ValueError("a tree object is cut off")
        entries[data[space + 1 : end]] = TreeEntry(int(data[at:space], 8), data[end + 1 : after])
        at = after
    return entries


def tree_bytes(entries: Entries) -> bytes:
    """Write a tree object."""
    ordered = sorted(entries.items(), key=_git_order)
    return b"".join(b"%o %b\0%b" % (entry.mode, name, entry.id) for name, entry in ordered)


def _git_order(item: tuple[bytes, TreeEntry]) -> bytes:
    name, entry = item
    return name + b"/" if entry.mode == DIRECTORY else name


def edited(
    tree: bytes | None, changes: Changes, read: Callable[[bytes], bytes], write: Callable[[bytes], bytes]
) -> bytes | None:
    """Give the id of a tree with changes made, None if nothing is left of it; `tree` is the id of the present one, if any.

    `read` gives the bytes of the tree with an id, `write` keeps a tree and gives its id. What was a file in the way of a
    path becomes a directory, and a directory in the place of a file goes with all that is in it, as with `git add`.
    Raises ValueError for a path with an empty name in it.
    """
    entries = {} if tree is None else dict(parse_tree(read(tree)))
    below: dict[str, dict[str, TreeEntry | None]] = {}
    for path, entry in changes.items():
        first, slash, rest = path.partition("/")
        if not first:
            raise ValueError(f"{path!r} is no path in a tree")
        if slash:
            below.setdefault(first, {})[rest] = entry
        else:
            _put_file(entries, os.fsencode(first), entry)
    for first, inner in below.items():
        name = os.fsencode(first)
        present = entries.get(name)
        directory = present.id if present is not None and present.mode == DIRECTORY else None
        if directory is None and not any(inner.values()):
            continue
        made = edited(directory, inner, read, write)
        if made is not None:
            entries[name] = TreeEntry(DIRECTORY, made)
        else:
            entries.pop(name, None)
    return write(tree_bytes(entries)) if entries else None


def _put_file(entries: Entries, name: bytes, entry: TreeEntry | None) -> None:
    if entry is not None:
        entries[name] = entry
    elif name in entries and entries[name].mode != DIRECTORY:
        del entries[name]
