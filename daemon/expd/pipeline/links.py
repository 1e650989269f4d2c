"""How a file gets from the cache into a worktree: reflink, hard link, symbolic link or copy (dvc_objects/fs).

Promise: a link appears under its name complete or not at all; the object it came from is only read.
"""

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from expd.pipeline.model import PipelineError

StrPath: TypeAlias = str | os.PathLike[str]
LinkType: TypeAlias = Literal["reflink", "hardlink", "symlink", "copy"]
LINK_TYPES: tuple[LinkType, ...] = get_args(LinkType)
DEFAULT_LINK_TYPES: tuple[LinkType, ...] = ("reflink", "copy")

_FICLONE = 0x40049409  # linux/fs.h: share the extents of another file
_COPY_BYTES = 8 << 20  # between two checkpoints
_SMALL_BYTES = 64 << 10
# What a file system or kernel answers that can't make a link of some kind here; anything else is an error.
_UNABLE = frozenset(
    {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EACCES}
)


def temporary_beside(target: Path) -> Path:
    """A name for work in progress next to `target`; DVC names its own alike and cleans up neither."""
    return target.with_name(f".{secrets.token_urlsafe(16)}.tmp")


def place(source: Path, target: Path, types: Sequence[LinkType], checkpoint: Callable[[], None]) -> None:
    """Make `target` out of the file `source` by the first of `types` that works here; what was there is replaced."""
    temporary = temporary_beside(target)
    try:
        _first_that_works(source, temporary, types, checkpoint)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def place_anew(source: str, target: str, types: Sequence[LinkType], checkpoint: Callable[[], None]) -> None:
    """The same in a directory that was just made, where nothing can be in the way.

    A link needs no other name first: the system makes it complete or not at all, in a third of the time.
    """
    try:
        if types[0] == "symlink":
            os.symlink(source, target)  # noqa: PTH211 - a Path costs more than the call, and there are many
            return
        if types[0] == "hardlink" and _is_linkable(os.lstat(source)):
            os.link(source, target)
            return
    except OSError as error:
        if error.errno not in _UNABLE | {errno.EEXIST}:
            raise
    place(Path(source), Path(target), types, checkpoint)


def _is_linkable(status: os.stat_result) -> bool:
    """Whether a hard link to a file is the file itself, and one that need not be a file of its own; see `_make`."""
    return stat.S_ISREG(status.st_mode) and status.st_size != 0


def _first_that_works(source: Path, target: Path, types: Sequence[LinkType], checkpoint: Callable[[], None]) -> None:
    for kind in types:
        if kind == "reflink" and "copy" in types[types.index(kind) + 1 :][:1]:
            clone(source, target, checkpoint)
            return
        try:
            _make(kind, source, target, checkpoint)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
            target.unlink(missing_ok=True)
        else:
            return
    raise PipelineError(
        path=str(target.parent),
        expected=f"a file system that allows one of: {', '.join(types)}",
        hint="add `copy` to cache.type",
    )


def _make(kind: LinkType, source: Path, target: Path, checkpoint: Callable[[], None]) -> None:
    if kind in {"reflink", "copy"}:
        clone(source, target, checkpoint, share=kind == "reflink", copy=kind == "copy")
    elif kind == "symlink":
        target.symlink_to(source)
    elif source.stat().st_size == 0:
        target.touch()  # ext4 allows 65,000 links to one inode, and a data set can have more empty files
    else:
        os.link(source.resolve(), target)


def clone(
    source: StrPath, target: StrPath, checkpoint: Callable[[], None], *, share: bool = True, copy: bool = True
) -> None:
    """Make a new file with the content of `source`, by sharing its blocks, or, where that can't be done, by copying.

    The mode is that of any new file. OSError if neither may be tried or works.
    """
    old = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        new = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            if not share or not _share_blocks(old, new, required=not copy):
                _copy_bytes(old, new, checkpoint)
        finally:
            os.close(new)
    finally:
        os.close(old)


def _share_blocks(old: int, new: int, *, required: bool) -> bool:
    try:
        fcntl.ioctl(new, _FICLONE, old)
    except OSError as error:
        if required or error.errno not in _UNABLE:
            raise
        return False
    return True


def _copy_bytes(old: int, new: int, checkpoint: Callable[[], None]) -> None:
    """Let the kernel copy; what is small is read and written, which costs less than to let it begin."""
    size = os.fstat(old).st_size
    if size < _SMALL_BYTES:
        data = os.read(old, size + 1)
        while data:
            data = data[os.write(new, data) :]
    while os.sendfile(new, old, None, _COPY_BYTES) > 0:
        checkpoint()


def remove(location: Path) -> None:
    """Remove whatever is at `location`: a file, a link (never what it points to), a directory with all it holds."""
    try:
        if location.is_dir() and not location.is_symlink():
            _remove_directory(location)
        else:
            location.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return


def _remove_directory(location: Path) -> None:
    """Remove a directory, also one whose maker took away the right to write in it."""
    try:
        shutil.rmtree(location)
    except PermissionError:
        for directory, _, _ in os.walk(location):
            Path(directory).chmod(0o700)
        shutil.rmtree(location)
