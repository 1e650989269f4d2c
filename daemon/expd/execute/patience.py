"""Work of a run that the machine has no room for at the moment is done again until it has; meanwhile the run says so.

What was computed is not given up because a disk was full when it was to be kept.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from expd.gitio.errors import GitFailed
from expd.linux.exhaustion import MAY_PASS

T = TypeVar("T")

_BACKOFF_FIRST_SECONDS, _BACKOFF_MAX_SECONDS = 0.25, 15.0
"""Nothing tells when there is room again; what is tried may write much before it fails, so that it is tried ever less."""


class Patience:
    """`tell` hears what is in the way, and None when it is not any more."""

    def __init__(self, tell: Callable[[str | None], Awaitable[None]]) -> None:
        self._tell = tell

    async def keep_trying(
        self, work: Callable[[], Awaitable[T]], failures: tuple[type[Exception], ...] = (OSError, GitFailed)
    ) -> T:
        """Give what the work gives, however often it has to be begun; one of `failures` that will not pass is raised."""
        backoff, said = _BACKOFF_FIRST_SECONDS, None
        while True:
            try:
                result = await work()
            except failures as error:
                if not may_pass(error):
                    raise
                what = str(error)
            else:
                if said is not None:
                    await self._tell(None)
                return result
            if what != said:
                await self._tell(what)
                said = what
            await trio.sleep(backoff)
            backoff = min(2 * backoff, _BACKOFF_MAX_SECONDS)


def may_pass(error: Exception) -> bool:
    """Tell whether it is for want of room, descriptors, memory or processes that something failed."""
    return isinstance(error, OSError | GitFailed) and error.errno in MAY_PASS
