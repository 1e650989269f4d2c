"""A daemon that has nothing to do: how often it wakes, and how much memory it has with queues of three lengths."""

import time
from functools import partial

from benchmarks.arena import Arena
from benchmarks.processes import daemon_of, memory_bytes, waits, wakes_between
from benchmarks.queues import hold
from benchmarks.row import Row, limit, within

IDLE_SECONDS = 60
WAITING = 10_000
BASE_BYTES = 60_000_000
ENTRY_BYTES = 1_000
_WATCHDOG = 2
"""Wakes that a watchdog may cause in a minute: none of ours has one in this measurement, so it is a kindness."""


def _wakes(arena: Arena, _number: int) -> float:
    """Leave the daemon alone for a minute; the count begins when it has rested for a moment from being asked for its id.

    The first minute is not counted: once after a change it is looked for what retention gives up.
    """
    if not arena.ask(["expctl", "status", "--quiet"], arena.ours):
        hold(arena, arena.scaled(WAITING))
    daemon = daemon_of(arena)
    time.sleep(1)
    before = waits(daemon)
    time.sleep(arena.scaled(IDLE_SECONDS))
    return wakes_between(before, waits(daemon))


WAKES = Row(
    name="idle",
    title=f"wakes of a daemon with {WAITING} entries in {IDLE_SECONDS} idle seconds",
    rounds=1,
    ours=_wakes,
    others={"the watchdog's": limit(_WATCHDOG)},
    budgets=[within("the watchdog's", 1)],
    unit="count",
)


def _memory(count: int, arena: Arena, number: int) -> float:
    """Give the memory of a daemon that was started on a queue of this length and has answered `status`."""
    if number == 0:
        hold(arena, arena.scaled(count) if count else 0)
    arena.run(["expctl", "daemon", "restart"], arena.ours)
    arena.run(["expctl", "status", "--quiet"], arena.ours)
    return memory_bytes(daemon_of(arena))


def _allowed(count: int, arena: Arena, _number: int) -> float:
    return BASE_BYTES + ENTRY_BYTES * (arena.scaled(count) if count else 0)


def _memory_row(count: int) -> Row:
    name = "60 MB" if not count else "60 MB, 1 kB an entry"
    return Row(
        name=f"memory-{count}",
        title=f"resident memory of a daemon with {count} entries, after `status`",
        rounds=2,
        ours=partial(_memory, count),
        others={name: partial(_allowed, count)},
        budgets=[within(name, 1)],
        unit="bytes",
    )


MEMORY = tuple(_memory_row(count) for count in (0, 10_000, 100_000))
