"""How a file gets from the cache into a worktree: reflink, hard link, symbolic link or copy (dvc_objects/fs).

Promise: a link appears under its name complete or not at all; the object it came from is only read.
"""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from expd.pipeline.model import PipelineError

LinkType: TypeAlias = Literal["reflink", "hardlink", "symlink", "copy"]
LINK_TYPES: tuple[LinkType, ...] = get_args(LinkType)
DEFAULT_LINK_TYPES: tuple[LinkType, ...] = ("reflink", "copy")

_FICLONE = 0x40049409  # linux/fs.h: share the extents of another file
_COPY_BYTES = 8 << 20  # between two checkpoints
# What a file system or kernel answers that can't make a link of some kind here; anything else is an error.
_UNABLE = frozenset(
    {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EACCES}
)


def temporary_beside(target: Path) -> Path:
    """A name for work in progress next to `target`; DVC names its own alike and cleans up neither."""
    return target.with_name(f".{secrets.token_urlsafe(16)}.tmp")


def place(source: Path, target: Path, types: Sequence[LinkType], checkpoint: Callable[[], None]) -> LinkType:
    """Make `target` out of the file `source` by the first of `types` that works here; what was there is replaced."""
    temporary = temporary_beside(target)
    try:
        used = _first_that_works(source, temporary, types, checkpoint)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return used


def _first_that_works(
    source: Path, target: Path, types: Sequence[LinkType], checkpoint: Callable[[], None]
) -> LinkType:
    for kind in types:
        try:
            _make(kind, source, target, checkpoint)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
            target.unlink(missing_ok=True)
        else:
            return kind
    raise PipelineError(
        path=str(target.parent),
        expected=f"a file system that allows one of: {', '.join(types)}",
        hint="add `copy` to cache.type",
    )


def _make(kind: LinkType, source: Path, target: Path, checkpoint: Callable[[], None]) -> None:
    if kind == "reflink":
        reflink(source, target)
    elif kind == "copy":
        copy_bytes(source, target, checkpoint)
    elif kind == "symlink":
        target.symlink_to(source)
    elif source.stat().st_size == 0:
        target.touch()  # ext4 allows 65,000 links to one inode, and a data set can have more empty files
    else:
        os.link(source.resolve(), target)


def reflink(source: Path, target: Path) -> None:
    """Make `target` share the blocks of `source`; OSError where the file system can't."""
    with source.open("rb") as old, target.open("xb") as new:
        fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())


def copy_bytes(source: Path, target: Path, checkpoint: Callable[[], None]) -> None:
    """Copy the content, not the mode: what appears has the mode of any new file."""
    with source.open("rb") as old, target.open("xb") as new:
        if old.seek(0, os.SEEK_END) <= _COPY_BYTES:
            old.seek(0)
            shutil.copyfileobj(old, new)
            return
        old.seek(0)
        while block := old.read(_COPY_BYTES):
            new.write(block)
            checkpoint()


def remove(location: Path) -> None:
    """Remove whatever is at `location`: a file, a link (never what it points to), a directory with all it holds."""
    try:
        if location.is_dir() and not location.is_symlink():
            shutil.rmtree(location)
        else:
            location.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return
