"""Trees of files without a repository, checked out into worktrees: the object of a file is named by what it holds."""

from collections.abc import Mapping
from pathlib import Path

from expd.execute import worktree
from expd.execute.manifest import Manifest
from expd.gitio.repository import REGULAR, TreeFile
from expd.gitio.slots import ReadContent, Wanted
from expproto.vocabulary import Rev

_REV_BYTES = 20
_FILLER = b"\xff"


def a_file(content: str, mode: int = REGULAR) -> TreeFile:
    """Give a file of a tree that holds a few bytes."""
    return TreeFile(rev=Rev(content.encode().ljust(_REV_BYTES, _FILLER).hex()), mode=int(mode))


def content_of(file: TreeFile, _path: str) -> bytes:
    """Give the content that a file's object is named by."""
    return bytes.fromhex(file.rev).rstrip(_FILLER)


def check_out(
    place: Path,
    files: Mapping[str, TreeFile],
    read: ReadContent = content_of,
    private: Mapping[str, bytes] = worktree.EMPTY_MAP,
) -> Manifest:
    """Check files out that are listed one by one."""
    return worktree.check_out(place, Wanted(files=lambda: files, reader=lambda _has_attributes: read), private)
