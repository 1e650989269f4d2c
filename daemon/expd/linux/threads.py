"""Work in a thread, also when the system has none left at the moment: it is waited for, not given up."""

import errno
import logging
from collections.abc import Callable
from typing import TypeVar

import trio

_journal = logging.getLogger("expd.linux")

T = TypeVar("T")

_BACKOFF_FIRST_SECONDS, _BACKOFF_MAX_SECONDS = 0.1, 5.0
"""Nothing tells when a limit of processes has room again; a thread that can't be made costs microseconds to try."""
_NO_THREAD = "can't start new thread"
"""All that Python says: pthread_create(3) failed with EAGAIN, and the number is lost."""


def no_thread(error: RuntimeError) -> OSError | None:
    """Give what really happened if Python could start no thread; None for any other error."""
    if str(error) != _NO_THREAD:
        return None
    return OSError(errno.EAGAIN, "no thread can be started: the limit of processes or the memory is used up")


async def in_thread(work: Callable[[], T], *, limiter: trio.CapacityLimiter | None = None) -> T:
    """Run blocking work in a thread and give its result; while no thread can be started, try again."""
    backoff = _BACKOFF_FIRST_SECONDS
    while True:
        try:
            return await trio.to_thread.run_sync(work, limiter=limiter)
        except RuntimeError as error:
            exhausted = no_thread(error)
            if exhausted is None:
                raise
            _journal.warning("%s; trying again in %.2g s", exhausted.strerror, backoff)
        await trio.sleep(backoff)
        backoff = min(2 * backoff, _BACKOFF_MAX_SECONDS)
