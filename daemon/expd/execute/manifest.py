"""What was checked out into a worktree, and what lstat(2) said of each file when it had been written.

It lies beside the worktree, where its commands have no business: paths as one text, and a row of fixed width a file, so
that ten thousand are read and written in a few milliseconds. One that is missing or makes no sense is empty, and then
everything is checked out again; so it needs no sync. Files stamped in the same instant as it are never believed unchanged.
"""

import contextlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgpack

from expd.gitio.repository import SUBMODULE, TreeFile
from expd.gitio.submodules import Submodule
from expproto.vocabulary import Rev

RACY_NS = 20_000_000
"""20 ms: twice the coarsest tick with which Linux stamps files (CONFIG_HZ=100)."""
_VERSION = 2
_ROW = struct.Struct("<QQIQQ20sI")
_STAMPS = struct.Struct("<QQIQQ24x")
"""The same rows, read for their stamps alone."""
_FILES = struct.Struct("<36x20sI")
"""The same rows, read for their files alone."""
_BITS = (1 << 64) - 1
"""Times may lie before 1970 or far ahead: they are compared as they are stored, without a sign."""


class Stamp(NamedTuple):
    """What lstat(2) tells of a file that nobody has touched; times in nanoseconds, as 64 bits without a sign."""

    inode: int
    size: int
    mode: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What was checked out, and when it was complete (`stamped_ns`, wall clock)."""

    paths: Mapping[str, int]
    """The number of each path's row."""
    rows: bytes
    stamped_ns: int
    directories: AbstractSet[str] = frozenset()
    """Those that the files lie in; known of what is stored."""
    umask: int = -1
    terms: str = ""
    """What decides about the bytes of the files beside the tree; see `Wanted`."""
    has_attributes: bool = False
    """Whether one of the files gives attributes to others."""
    tree: Rev | None = None
    """The tree that holds exactly these files, if there is one."""
    submodules: tuple[Submodule, ...] = ()
    """Those whose files are among `paths`; known for as long as the run, and not stored."""
    pointers: tuple[str, ...] = ()
    """Files that are Git LFS pointers, their content being nowhere here; not stored either."""

    def is_untouched(self, path: str, status: os.stat_result) -> bool:
        """Tell whether a file is for certain still what was checked out."""
        number = self.paths.get(path)
        if number is None:
            return False
        stamp = _STAMPS.unpack_from(self.rows, number * _ROW.size)
        return stamp == stamp_of(status) and stamp[4] < self.believed_ns

    @property
    def believed_ns(self) -> int:
        """The time before which a file must have been written to be believed."""
        return self.stamped_ns - RACY_NS

    def is_submodule(self, path: str) -> bool:
        """Tell whether a path that was checked out is the place of a submodule."""
        return self.file_at(self.paths[path]).mode == SUBMODULE

    def stamps(self) -> list[tuple[int, ...]]:
        """Give every row's stamp."""
        return list(_STAMPS.iter_unpack(self.rows))

    def file_at(self, number: int) -> TreeFile:
        """Give the file of one row."""
        rev, mode = _FILES.unpack_from(self.rows, number * _ROW.size)
        return TreeFile(rev=Rev(rev.hex()), mode=mode)

    def files(self) -> Iterator[tuple[str, TreeFile]]:
        """Give every path with its file."""
        for path, (rev, mode) in zip(self.paths, _FILES.iter_unpack(self.rows), strict=True):
            yield path, TreeFile(rev=Rev(rev.hex()), mode=mode)

    def row_at(self, number: int) -> bytes:
        """Give one row as it is stored."""
        return self.rows[number * _ROW.size : (number + 1) * _ROW.size]


EMPTY = Manifest(paths={}, rows=b"", stamped_ns=0)


def row_of(file: TreeFile, stamp: Stamp) -> bytes:
    """Give the row of one file."""
    return _ROW.pack(*stamp, bytes.fromhex(file.rev), file.mode)


def numbered(paths: Iterable[str]) -> dict[str, int]:
    """Give each path the number of its row."""
    return {path: number for number, path in enumerate(paths)}


def with_rows(
    manifest: Manifest, unwanted: AbstractSet[str], written: Mapping[str, bytes]
) -> tuple[Mapping[str, int], bytes]:
    """Give the paths and rows of a manifest without some paths, and with the rows of some others in place of what it had."""
    stay = (
        {path: number for path, number in manifest.paths.items() if path not in unwanted}
        if unwanted
        else manifest.paths
    )
    rows = b"".join(map(manifest.row_at, stay.values())) if unwanted else manifest.rows
    paths = numbered(stay)
    if not written:
        return paths, rows
    changed = bytearray(rows)
    for path, row in written.items():
        number = paths.setdefault(path, len(paths))
        changed[number * _ROW.size : (number + 1) * _ROW.size] = row
    return paths, bytes(changed)


def stamp_of(status: os.stat_result) -> Stamp:
    """Keep what tells whether a file was touched."""
    mtime_ns, ctime_ns = status.st_mtime_ns & _BITS, status.st_ctime_ns & _BITS
    return Stamp(status.st_ino, status.st_size, status.st_mode, mtime_ns, ctime_ns)


def manifest_path(worktree: Path) -> Path:
    """Give the place of a worktree's manifest."""
    return worktree.with_name(f"{worktree.name}.manifest")


def _next_manifest_path(worktree: Path) -> Path:
    """Give the place of what is to be a worktree's manifest, and is none yet."""
    return worktree.with_name(f"{worktree.name}.tmp")


def retire_manifest(worktree: Path) -> None:
    """Take a manifest away. Its inode serves for the next one: a new one costs more than all else of it."""
    with contextlib.suppress(FileNotFoundError):
        manifest_path(worktree).rename(_next_manifest_path(worktree))


def save_manifest(worktree: Path, manifest: Manifest) -> None:
    """Store a manifest, whole or not at all."""
    texts = [os.fsencode("\0".join(names)) for names in (manifest.paths, manifest.directories)]
    facts = [manifest.stamped_ns, manifest.umask, manifest.terms, manifest.has_attributes, manifest.tree]
    temporary = _next_manifest_path(worktree)
    temporary.write_bytes(msgpack.packb([_VERSION, *facts, *texts, manifest.rows]))
    temporary.rename(manifest_path(worktree))


def load_manifest(worktree: Path) -> Manifest:
    """Read the manifest of a worktree; one that is missing or makes no sense is empty."""
    try:
        version, *facts, paths, directories, rows = msgpack.unpackb(manifest_path(worktree).read_bytes())
        if version != _VERSION:
            return EMPTY
        stamped_ns, umask, terms, has_attributes, tree = facts
        found = Manifest(
            paths=numbered(_names(paths)),
            rows=bytes(rows),
            stamped_ns=int(stamped_ns),
            directories=frozenset(_names(directories)),
            umask=int(umask),
            terms=str(terms),
            has_attributes=bool(has_attributes),
            tree=None if tree is None else Rev(str(tree)),
        )
    except (OSError, ValueError, TypeError, IndexError, AttributeError, msgpack.UnpackException):
        return EMPTY
    return found if len(found.rows) == len(found.paths) * _ROW.size else EMPTY


def _names(text: bytes) -> list[str]:
    return os.fsdecode(text).split("\0") if text else []
