"""What to start next: pure decisions over what is known of the pool."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """The pool as it is: how many runs may be active, and how many are."""

    jobs: int
    paused: bool
    running: int
    queued: int


def starts_now(pool: PoolState, *, draining: bool) -> int:
    """Tell how many queued entries to start now."""
    if pool.paused or draining:
        return 0
    return max(0, min(pool.jobs - pool.running, pool.queued))


def waits_for(pool: PoolState, *, ahead: int) -> str:
    """Say in words what a queued entry with so many ahead of it waits for."""
    if pool.paused:
        return "the pool is paused: expctl resume"
    if pool.jobs == 0:
        return "the pool has no slots: expctl jobs N"
    if ahead:
        return f"{ahead} ahead in the queue"
    return "a free slot" if pool.running >= pool.jobs else "its worker"
