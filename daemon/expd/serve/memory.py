"""What a large request or a large answer took of memory goes back to the system."""

import trio

from expd.linux.allocator import give_back_memory

_MANY = 1000
"""After so many entries the C library has kept megabytes: a sweep of ten thousand points left 40 MB, a list of them 15 MB."""


async def give_back_after(count: int, limiter: trio.CapacityLimiter) -> None:
    """Give back what a request with so many entries took, which is free by now."""
    if count >= _MANY:
        await trio.to_thread.run_sync(give_back_memory, limiter=limiter)
