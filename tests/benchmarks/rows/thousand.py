"""A thousand trivial experiments with two workers, from the command until all are refs; against a bare loop that does the same.

The floor is one process that does what has to be done for an experiment and nothing else: see bare.py.
"""

import sys
import time
from pathlib import Path

from benchmarks.arena import Arena
from benchmarks.checks import check_count, check_points, result_refs
from benchmarks.row import Row, within

POINTS = 1_000
WORKERS = 2
BARE = Path(__file__).parents[1] / "bare.py"


def _ours(arena: Arena, number: int) -> float:
    points = arena.scaled(POINTS)
    if number == 0:
        arena.run(["expctl", "jobs", str(WORKERS)], arena.ours)
    began = time.perf_counter()
    sweep = f"x=range({number * points + 1},{(number + 1) * points + 1})"
    arena.run(["expctl", "submit", "--quiet", "-S", sweep], arena.ours)
    arena.run(["expctl", "wait", "--all"], arena.ours)
    seconds = time.perf_counter() - began
    check_points(arena, arena.ours, range(1, (number + 1) * points + 1))
    return seconds


def _floor(arena: Arena, number: int) -> float:
    points = arena.scaled(POINTS)
    first = number * points + 1
    seconds = arena.run([sys.executable, str(BARE), str(arena.peer), str(first), str(first + points)], arena.peer)
    check_count("results of the bare loop", len(result_refs(arena, arena.peer)), (number + 1) * points)
    check_points(arena, arena.peer, range(1, (number + 1) * points + 1))
    return seconds


ROW = Row(
    name="thousand",
    title=f"{POINTS} trivial experiments, two workers: submit until all are refs; against a bare loop in one process",
    rounds=2,
    ours=_ours,
    others={"bare loop": _floor},
    budgets=[within("bare loop", 2)],
    warm_up_rounds=0,
)
