"""Files that survive a power cut, directories nobody else can enter, and locks that die with their holder."""

import fcntl
import os
import stat
from pathlib import Path


class NotPrivate(Exception):
    """A directory of ours can be reached by others: `path`, and `what` is wrong with it."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what


def private_directory(path: Path) -> Path:
    """Make a directory 0700, or check that the one there is a directory of ours with no access for others."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        check_private(path)
    return path


def check_private(path: Path) -> None:
    """Raise NotPrivate unless `path` itself, not what it may link to, is a directory only we can enter."""
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotPrivate(path, "is not a directory")
    if status.st_uid != os.geteuid():
        raise NotPrivate(path, f"belongs to user {status.st_uid}, not to {os.geteuid()}")
    if status.st_mode & 0o077:
        raise NotPrivate(path, f"is open to others (mode {stat.S_IMODE(status.st_mode):04o}); chmod 700 it")


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file whole: temporary name, fsync, rename, fsync of the directory. Mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Put a directory's names on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def share_lock(path: Path) -> int:
    """Take a shared flock(2) on such a file, and wait for whoever has it alone; gives its descriptor. Blocks."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def try_lock(path: Path) -> int | None:
    """Take an exclusive flock(2) on a file that is never unlinked; gives its descriptor, or None if it is held.

    The kernel releases the lock with the last descriptor, however the holder ends: no pid in a file to go stale.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
