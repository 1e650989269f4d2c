"""What to start next: pure decisions over what is known of the pool."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from expproto.place import DEFAULT_GROUP

MANY = 1000
"""Entries ahead of one that are counted: nobody plans by more, and each costs a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """One group: how many of its runs may be active, how many are, and how many entries of it may start now."""

    name: str
    jobs: int
    paused: bool
    running: int
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """The pool as it is: how many runs of the queue may be active, and how many are.

    `jobs`, `running`, `queued` and `default_paused` are those of the default group, `others` the other ones; with
    `paused` no group starts anything. `queued` may start now. `immediate` counts those of them that wait for no slot, since somebody sits before them,
    `active` all runs, `frozen` those of them that stand still, and `deferred` what is queued and may not start before its time, the first of them at `next_at`.
    """

    jobs: int
    paused: bool
    running: int
    queued: int
    immediate: int = 0
    active: int = 0
    deferred: int = 0
    next_at: float | None = None
    default_paused: bool = False
    others: tuple[GroupState, ...] = ()
    frozen: int = 0

    @property
    def groups(self) -> tuple[GroupState, ...]:
        """Give all groups, the default one first."""
        default = GroupState(
            name=DEFAULT_GROUP, jobs=self.jobs, paused=self.default_paused, running=self.running, queued=self.queued
        )
        return (default, *self.others)

    @property
    def all_queued(self) -> int:
        """Count everything that is queued here."""
        return sum(group.queued for group in self.groups) + self.immediate + self.deferred


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """How many entries to start now: those that wait for no slot, those of the default group, and of the others by name."""

    immediate: int
    queued: int
    others: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Count all of them."""
        return self.immediate + self.queued + sum(self.others.values())

    def turns(self) -> Iterator[str | None]:
        """Give for each start whose turn it is: a group's, or with None that of what waits for no slot."""
        yield from [None] * self.immediate
        yield from [DEFAULT_GROUP] * self.queued
        for name, count in self.others.items():
            yield from [name] * count


def starts_now(pool: PoolState, *, draining: bool) -> Starts:
    """Tell how many entries to start now; a pool that is paused still runs what is asked for at once."""
    if draining:
        return Starts(immediate=0, queued=0)
    free = {group.name: 0 if pool.paused else _free_in(group) for group in pool.groups}
    others = {group.name: free[group.name] for group in pool.others if free[group.name]}
    return Starts(immediate=pool.immediate, queued=free[DEFAULT_GROUP], others=others)


def _free_in(group: GroupState) -> int:
    return 0 if group.paused else max(0, min(group.jobs - group.running, group.queued))


def status_words(pool: PoolState, *, draining: bool) -> str:
    """Say in a line how the pool is: what `systemctl --user status expd` shows."""
    manner = ", ending" if draining else ", paused" if pool.paused else ""
    frozen = f", {pool.frozen} frozen" if pool.frozen else ""
    return f"{pool.active} running, {pool.all_queued} queued{manner}{frozen}"


def waits_for(pool: PoolState, *, ahead: int, group_name: str = DEFAULT_GROUP) -> str:
    """Say in words what a queued entry of a group waits for, with so many of it ahead of it."""
    group = next((group for group in pool.groups if group.name == group_name), pool.groups[0])
    option = "" if group.name == DEFAULT_GROUP else f" -g {group.name}"
    if pool.paused:
        return "the pool is paused: expctl resume"
    if group.paused:
        return f"the group {group.name} is paused: expctl resume -g {group.name}"
    if group.jobs == 0:
        return f"{f'the group {group.name}' if option else 'the pool'} has no slots: expctl jobs N{option}"
    if ahead >= MANY:
        return f"{MANY} or more ahead in the queue"
    if ahead:
        return f"{ahead} ahead in the queue"
    return "a free slot" if group.running >= group.jobs else "its worker"
