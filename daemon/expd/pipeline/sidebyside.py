"""Several large files at once: hashing and copying let go of the interpreter, so each may have a core of its own.

Promise: results come in the order of the tasks; the first error is raised, and nothing goes on behind it. The caller's
checkpoint is called in the caller's thread only, because a cancel is known there and nowhere else.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeAlias, TypeVar

R = TypeVar("R")
Checkpoint: TypeAlias = Callable[[], None]

THREADS_MAX = 4
"""What one disk can feed: md5 takes 500 MB a second and core."""
LARGE_BYTES = 1 << 20
"""Below this a file costs more in Python, where only one thread runs, than in md5."""
_LOOK_SECONDS = 0.05
"""Between two looks whether the caller was cancelled: it can only be asked."""


class _Stopped(Exception):
    """Somebody else has failed, or the caller was cancelled."""


def side_by_side(tasks: Sequence[Callable[[Checkpoint], R]], checkpoint: Checkpoint) -> list[R]:
    """Carry out all tasks, each of which calls the checkpoint it is given now and then."""
    threads = min(THREADS_MAX, len(os.sched_getaffinity(0)), len(tasks))
    if threads < 2:
        return [task(checkpoint) for task in tasks]
    stop = Event()

    def look() -> None:
        if stop.is_set():
            raise _Stopped

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(task, look) for task in tasks]
        try:
            _wait_all(futures, checkpoint)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


def _wait_all(futures: Sequence[Future[R]], checkpoint: Checkpoint) -> None:
    """Wait for the end of all, or raise the first error of one."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=_LOOK_SECONDS, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        checkpoint()
