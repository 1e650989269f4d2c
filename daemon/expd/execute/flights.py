"""One computes, the others wait and take its result: a lock for each entry that the run cache may come to have.

Promise: whoever holds a flight is at work on just this stage, with the same commands, dependencies and parameters. The
kernel takes the lock back however the holder ends, so that its work passes on by itself; nobody polls, and who waits can
be cancelled at once. Nobody waits for a flight who holds one for the same stage.
"""

import errno
import fcntl
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

_HOLDER_BYTES_MAX = 200
"""Name and id of an experiment."""


class Flights:
    """The flights of one repository; `who` is what others read of us while they wait."""

    def __init__(self, directory: Path, who: str) -> None:
        self._directory = directory
        self._who = who
        # A thread that waits for a lock may outlive its task until the lock is free; it must not keep others from theirs.
        self._limiter = trio.CapacityLimiter(math.inf)

    def try_start(self, key: str) -> "Flight | None":
        """Take the flight of a run-cache key, unless somebody has it; blocks for a moment."""
        file = self._directory / key
        while True:
            descriptor = _open(file)
            if not _try_lock(descriptor):
                os.close(descriptor)
                return None
            if _is_named(descriptor, file):
                return Flight(file, descriptor, self._who)
            os.close(descriptor)  # its holder ended between our opening and our locking it

    async def wait_until_free(self, key: str, tell_holder: Callable[[str], None]) -> None:
        """Wait until whoever has a flight gave it back, or died; `tell_holder` gets what is known of who it is."""
        file = self._directory / key
        tell_holder(await trio.to_thread.run_sync(_read_holder, file))
        await trio.to_thread.run_sync(_wait, file, abandon_on_cancel=True, limiter=self._limiter)


class Flight:
    """A flight that is ours: given back by the end of `held`, or by the kernel when this process ends."""

    def __init__(self, file: Path, descriptor: int, who: str) -> None:
        self._file = file
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, who.encode()[:_HOLDER_BYTES_MAX], 0)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it while inside."""
        try:
            yield
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Let others have it; for whoever does not get to `held`."""
        # The name goes first: who opens it from now on finds another file, and our result in the run cache.
        self._file.unlink(missing_ok=True)
        os.close(self._descriptor)


def _read_holder(file: Path) -> str:
    try:
        return file.read_bytes()[:_HOLDER_BYTES_MAX].decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _wait(file: Path) -> None:
    """Wait until the lock is free. Abandoned, this still gets the lock some day, and gives it back like any other."""
    with suppress(FileNotFoundError), file.open("rb") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # A file system without locks: everybody computes, as if nobody else was there.
        if error.errno not in {errno.ENOLCK, errno.EOPNOTSUPP}:
            raise
    return True


def _open(file: Path) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_named(descriptor: int, file: Path) -> bool:
    """Tell whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
