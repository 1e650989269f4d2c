"""Files on their way between Git and a directory: through the filters that attributes and settings ask for."""

import os
from collections.abc import Callable
from pathlib import Path

import pygit2
from pygit2.enums import BlobFilter, FilterMode

from expd.gitio.drivers import Drivers
from expd.gitio.errors import CannotCapture, GitFailed
from expd.gitio.repository import EXECUTABLE, LINK, REGULAR, TreeFile, git_errors
from expproto.vocabulary import Rev

Keep = Callable[[bytes], Rev]
"""Takes the bytes of a blob and gives its rev; when it is on the disk is its own affair."""
KEPT_BYTES_MAX = 1 << 20
"""Larger files are not read whole."""


def checked_out(handle: pygit2.Repository, file: TreeFile, path: str, commit: Rev) -> bytes:
    """Give a file's bytes as a checkout of `commit` writes them: line endings as its attributes say."""
    with git_errors(f"{path} can't be read from Git"):
        blob = handle[file.rev]
        assert isinstance(blob, pygit2.Blob)
        if file.mode == LINK:
            return blob.data
        if not _is_text(path):
            # pygit2 hands bytes on as they are, whatever it says, and ends what it gives at the first NUL.
            filters = handle.load_filter_list(os.fsencode(path), FilterMode.TO_WORKTREE)  # type: ignore[arg-type]
            return blob.data if filters is None or b"\0" in blob.data else filters.apply_to_blob(blob)
        with pygit2.BlobIO(
            blob,
            as_path=path,
            flags=BlobFilter.CHECK_FOR_BINARY | BlobFilter.ATTRIBUTES_FROM_COMMIT,
            commit_id=pygit2.Oid(hex=commit),
        ) as stream:
            return stream.read()


def stored(
    handle: pygit2.Repository, drivers: Drivers, worktree: Path, path: str, keep: Keep | None = None
) -> TreeFile | None:
    """Store one file of the handle's work tree; None if it is neither a regular file nor a link.

    With `keep`, a small file that no filter changes is given to that instead.
    """
    full = worktree / path
    if full.is_symlink():
        mode = LINK
    elif full.is_file():
        mode = EXECUTABLE if full.stat().st_mode & 0o100 else REGULAR
    else:
        return None
    with git_errors(f"{path} can't be stored"):
        if mode != LINK and _stands_for_link(handle, path):
            return TreeFile(rev=Rev(str(handle.create_blob(full.read_bytes()))), mode=LINK)
        try:
            rev = None if mode == LINK else drivers.clean(handle, worktree, path)
        except CannotCapture as error:
            raise GitFailed(f"{path} can't be stored: {error.what}") from None
        if rev is None and keep is not None and mode != LINK and _is_stored_as_it_is(handle, full, path):
            rev = keep(full.read_bytes())
        return TreeFile(rev=rev or Rev(str(handle.create_blob_fromworkdir(path))), mode=int(mode))


def _is_stored_as_it_is(handle: pygit2.Repository, full: Path, path: str) -> bool:
    """Tell whether a file is small, and no attribute or setting changes it on its way into Git."""
    if full.stat().st_size > KEPT_BYTES_MAX:
        return False
    return handle.load_filter_list(os.fsencode(path), FilterMode.TO_ODB) is None  # type: ignore[arg-type]


def _stands_for_link(handle: pygit2.Repository, path: str) -> bool:
    """Tell whether a file is a link for Git: with core.symlinks=false it holds where the link leads."""
    config = handle.config  # opened anew each time it is asked for
    if "core.symlinks" not in config or config.get_bool("core.symlinks"):
        return False
    return path in handle.index and handle.index[path].mode == LINK


def _is_text(path: str) -> bool:
    """Tell whether pygit2 can name a file to a filter; with another name its thread dies, and the reader waits for ever."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
