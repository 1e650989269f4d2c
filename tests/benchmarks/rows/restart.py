"""A daemon that was killed and has a hundred thousand entries: from the command that starts it until it has answered."""

import time

from benchmarks.arena import Arena
from benchmarks.checks import check_count
from benchmarks.processes import daemon_of, kill
from benchmarks.queues import hold
from benchmarks.row import Row, limit, within

WAITING = 100_000


def _ours(arena: Arena, number: int) -> float:
    if number == 0:
        hold(arena, arena.scaled(WAITING))
    kill(daemon_of(arena))
    began = time.perf_counter()
    arena.run(["expctl", "status", "1"], arena.ours)
    seconds = time.perf_counter() - began
    said = (arena.directory / "output").read_text(encoding="utf-8")
    check_count("entries that wait", sum("held" in line for line in said.splitlines()), 1)
    return seconds


ROW = Row(
    name="restart",
    title=f"start after a kill, with {WAITING} entries, until it answers",
    rounds=3,
    ours=_ours,
    others={"2 s": limit(2.0)},
    budgets=[within("2 s", 1)],
)
