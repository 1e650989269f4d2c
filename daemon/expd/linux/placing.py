"""Files below a directory that belongs to somebody else: replaced whole or removed, and never through a link.

Each parent is entered by a descriptor that follows no link, new content gets its name by rename(2) when it is on the
disk, and what has changed since it was looked at is left as it is.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
TEMPORARY_PREFIX = ".expd-writing-"
"""How the names of files that are being written begin; a crash may leave one, and the next try takes it over."""


class ChangedMeanwhile(Exception):
    """The file at `path` is not what it was when it was looked at; it was left as it is."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, slots=True)
class Seen:
    """What lstat(2) tells of a file: equal as long as nobody touches it."""

    inode: int
    size: int
    mode: int
    mtime_ns: int
    ctime_ns: int

    @property
    def is_directory(self) -> bool:
        """Tell a directory, which a link to one is not."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Tell a regular file or a link from a pipe, a socket or a device."""
        return stat.S_ISREG(self.mode) or stat.S_ISLNK(self.mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """What to put somewhere: a regular file of this mode, or (`mode` is None) a link to where `content` says."""

    content: bytes
    mode: int | None


class Directory:
    """The directory `root`; paths are relative to it. `umask` is for the directories that have to be made."""

    def __init__(self, root: Path, umask: int) -> None:
        self._root = root
        self._umask = umask

    def look(self, path: str) -> Seen | None:
        """Look at one path; None if there is nothing, or a link or a file stands in the place of a parent."""
        try:
            with self._parent_of(path) as parent:
                status = os.stat(_name(path), dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise
        return Seen(status.st_ino, status.st_size, status.st_mode, status.st_mtime_ns, status.st_ctime_ns)

    def files_below(self, path: str) -> Iterator[str]:
        """List what is in a directory that is no directory itself, at any depth."""
        with self._directory(path) as descriptor, os.scandir(descriptor) as entries:
            listed = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        for name, is_directory in listed:
            if is_directory:
                yield from self.files_below(f"{path}/{name}")
            else:
                yield f"{path}/{name}"

    def read(self, path: str) -> bytes:
        """Read one regular file."""
        with self._parent_of(path) as parent:
            descriptor = os.open(_name(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            with os.fdopen(descriptor, "rb") as file:
                return file.read()

    def replace(self, path: str, new: NewFile, seen: Seen | None) -> None:
        """Put a file where `seen` was; raises ChangedMeanwhile, and IsADirectoryError for a directory in the way."""
        with self._parent_of(path, make=True) as parent:
            temporary = TEMPORARY_PREFIX + hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
            _remove_if_there(temporary, parent)
            try:
                _write(temporary, parent, new)
                self._check_same(path, seen)
                os.rename(temporary, _name(path), src_dir_fd=parent, dst_dir_fd=parent)
            finally:
                _remove_if_there(temporary, parent)

    def remove(self, path: str, seen: Seen) -> None:
        """Remove a file, and the directories that are empty without it; raises ChangedMeanwhile."""
        self._check_same(path, seen)
        with self._parent_of(path) as parent:
            os.unlink(_name(path), dir_fd=parent)
        self._remove_empty(path.rpartition("/")[0])

    def remove_directory(self, path: str) -> None:
        """Remove a directory that holds nothing but empty ones; raises ChangedMeanwhile for any other."""
        with self._directory(path) as descriptor, os.scandir(descriptor) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        for name in names:
            self.remove_directory(f"{path}/{name}")
        try:
            with self._parent_of(path) as parent:
                os.rmdir(_name(path), dir_fd=parent)
        except OSError as error:
            raise ChangedMeanwhile(path) from error

    def _check_same(self, path: str, seen: Seen | None) -> None:
        if self.look(path) != seen:
            raise ChangedMeanwhile(path)

    def _remove_empty(self, path: str) -> None:
        while path:
            try:
                with self._parent_of(path) as parent:
                    os.rmdir(_name(path), dir_fd=parent)
            except OSError:
                return
            path = path.rpartition("/")[0]

    @contextmanager
    def _directory(self, path: str, *, make: bool = False) -> Iterator[int]:
        """Open a directory below the root, one part after the other."""
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in path.split("/") if path else ():
                if make:
                    self._make(part, descriptor)
                below = os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def _parent_of(self, path: str, *, make: bool = False) -> AbstractContextManager[int]:
        return self._directory(path.rpartition("/")[0], make=make)

    def _make(self, name: str, parent: int) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            return
        os.chmod(name, 0o777 & ~self._umask, dir_fd=parent)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _remove_if_there(name: str, parent: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _write(name: str, parent: int, new: NewFile) -> None:
    if new.mode is None:
        os.symlink(os.fsdecode(new.content), name, dir_fd=parent)
        return
    descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(new.content)
        file.flush()
        os.fchmod(descriptor, new.mode)
        os.fsync(descriptor)
