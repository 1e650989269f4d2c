"""Lock files as Git has them, made so that a kill leaves a proof of whose they were. Blocks.

A lock of ours is a second name of a file below `expd/` on which its holder has a flock(2). Where both names are there and
nobody has the flock, whoever made the lock is dead: it can be taken away, which nobody may do with a stranger's.
"""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from expd.linux.durable import sync_directory
from expd.linux.filesystems import file_system_of

_OWN = "lock-"
_TRIES_MAX = 10
"""Git removes directories of refs that are empty, also between two steps of ours."""
_NO_SECOND_NAMES = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""How file systems say that a file has one name there (link(2)): a lock is then one like Git's own, without a proof."""


class LockHeld(Exception):
    """Somebody has the lock: `path` is its file."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A lock whose holder was one of us and is dead: its name in the way, and the one that proves it."""

    lock: Path
    own: Path


@dataclass(frozen=True, slots=True)
class LockFile:
    """A lock that we have."""

    path: Path
    descriptor: int

    def become(self, place: Path, data: bytes) -> None:
        """Put new content in the place of what the lock is of, and on the disk; raises OSError."""
        with os.fdopen(self.descriptor, "wb", closefd=False) as file:
            file.write(data)
            file.flush()
            os.fsync(self.descriptor)
        self.path.rename(place)
        sync_directory(place.parent)


@contextmanager
def locked(common_directory: Path, path: Path) -> Iterator[LockFile]:
    """Have a lock for as long as the block; one that a dead process of ours has left is taken away. Raises LockHeld, OSError."""
    own = common_directory / "expd" / f"{_OWN}{secrets.token_hex(8)}"
    own.parent.mkdir(exist_ok=True)
    descriptor = os.open(own, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        descriptor = _take(common_directory, own, path, descriptor)
        try:
            yield LockFile(path, descriptor)
        finally:
            if _is_same(path, descriptor):
                path.unlink()
    finally:
        own.unlink(missing_ok=True)
        os.close(descriptor)


def _take(common_directory: Path, own: Path, path: Path, descriptor: int) -> int:
    """Give the lock its name; gives the descriptor of its file."""
    for attempt in range(_TRIES_MAX):
        _make_directory(path.parent)
        try:
            os.link(own, path)
        except FileExistsError:
            if not (proof := proof_of(common_directory, path)) or not release(proof):
                raise LockHeld(path) from None
        except FileNotFoundError:
            if attempt == _TRIES_MAX - 1:
                raise
        except OSError as error:
            if error.errno not in _NO_SECOND_NAMES:
                raise
            return _take_alone(path, descriptor)
        else:
            return descriptor
    raise LockHeld(path)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None


def _take_alone(path: Path, before: int) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise LockHeld(path) from None
    os.close(before)
    return descriptor


def proof_of(common_directory: Path, lock: Path) -> Abandoned | None:
    """Find what proves that a lock was ours and is nobody's any more; None if nothing does."""
    return next((each for each in abandoned(common_directory, [lock])), None)


def abandoned(common_directory: Path, locks: Sequence[Path]) -> list[Abandoned]:
    """Find those of these locks that were ours and are nobody's any more."""
    by_file = {seen: lock for lock in locks if (seen := _second_named(lock)) is not None}
    if not by_file or _is_shared(common_directory):
        return []
    named = {own: _second_named(own) for own in (common_directory / "expd").glob(f"{_OWN}*")}
    pairs = [Abandoned(by_file[seen], own) for own, seen in named.items() if seen is not None and seen in by_file]
    return [each for each in pairs if _is_free(each.own)]


def release(found: Abandoned) -> bool:
    """Take an abandoned lock away; False if it is another one by now, or cannot be taken away."""
    try:
        descriptor = os.open(found.own, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_same(found.lock, descriptor):
            found.lock.unlink()
        found.own.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_free(own: Path) -> bool:
    """Tell whether nobody lives who has this lock: a flock ends with its holder, however that ends."""
    try:
        descriptor = os.open(own, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _second_named(path: Path) -> tuple[int, int] | None:
    """Give the identity of a file that has another name; None if it has not, or is not there."""
    try:
        status = path.lstat()
    except OSError:
        return None
    has_another = stat.S_ISREG(status.st_mode) and status.st_nlink > 1
    return (status.st_dev, status.st_ino) if has_another else None


def _is_same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False


def _is_shared(directory: Path) -> bool:
    """Tell whether other machines may have locks there too, of which this kernel knows nothing."""
    try:
        return file_system_of(directory).is_network
    except OSError:
        return True
