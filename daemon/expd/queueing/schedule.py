"""What to start next: pure decisions over what is known of the pool."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """The pool as it is: how many runs of the queue may be active, and how many are.

    `queued` may start now. `immediate` counts those of them that wait for no slot, since somebody sits before them,
    `active` all runs, and `deferred` what is queued and may not start before its time, the first of them at `next_at`.
    """

    jobs: int
    paused: bool
    running: int
    queued: int
    immediate: int = 0
    active: int = 0
    deferred: int = 0
    next_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """How many entries to start now: those that wait for no slot, and those of the queue."""

    immediate: int
    queued: int


def starts_now(pool: PoolState, *, draining: bool) -> Starts:
    """Tell how many entries to start now; a pool that is paused still runs what is asked for at once."""
    if draining:
        return Starts(immediate=0, queued=0)
    free = 0 if pool.paused else max(0, min(pool.jobs - pool.running, pool.queued))
    return Starts(immediate=pool.immediate, queued=free)


def status_words(pool: PoolState, *, draining: bool) -> str:
    """Say in a line how the pool is: what `systemctl --user status expd` shows."""
    manner = ", ending" if draining else ", paused" if pool.paused else ""
    return f"{pool.active} running, {pool.queued} queued{manner}"


def waits_for(pool: PoolState, *, ahead: int) -> str:
    """Say in words what a queued entry with so many ahead of it waits for."""
    if pool.paused:
        return "the pool is paused: expctl resume"
    if pool.jobs == 0:
        return "the pool has no slots: expctl jobs N"
    if ahead:
        return f"{ahead} ahead in the queue"
    return "a free slot" if pool.running >= pool.jobs else "its worker"
