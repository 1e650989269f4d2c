"""Fifty trivial experiments, from the command that submits them until all results are refs; two workers on each side.

Our daemon and its workers are up, as they are for whoever uses them; DVC's workers start with `dvc queue start`, as
they do for whoever uses them. Between rounds DVC's workers are ended, so that they don't run beside us.
"""

import time
from pathlib import Path

from benchmarks.arena import COMMAND_SECONDS, Arena, BenchmarkFailed, end_processes
from benchmarks.checks import check_points, result_files
from benchmarks.row import Row, faster

POINTS = 50
WORKERS = 2
LOOK_SECONDS = 0.02
"""Between two looks at the refs: small beside a round, and nearly free."""


def _ours(arena: Arena, number: int) -> float:
    if number == 0:
        arena.run(["expctl", "jobs", str(WORKERS)], arena.ours)
    began = time.perf_counter()
    arena.run(["expctl", "submit", "-S", _sweep(arena, number)], arena.ours)
    _wait_results(arena, arena.ours, number)
    seconds = time.perf_counter() - began
    arena.run(["expctl", "wait", "--all"], arena.ours)
    check_points(arena, arena.ours, _points_until(arena, number))
    return seconds


def _peer(arena: Arena, number: int) -> float:
    began = time.perf_counter()
    arena.run(["dvc", "exp", "run", "--queue", "-S", _sweep(arena, number)], arena.peer)
    arena.run(["dvc", "queue", "start", "-j", str(WORKERS)], arena.peer)
    _wait_results(arena, arena.peer, number)
    seconds = time.perf_counter() - began
    arena.run(["dvc", "queue", "stop"], arena.peer)
    end_processes(arena.peer)
    check_points(arena, arena.peer, _points_until(arena, number))
    return seconds


def _sweep(arena: Arena, number: int) -> str:
    """Give a sweep of values that no round before had: nothing may come from a cache."""
    points = arena.scaled(POINTS)
    return "x=" + ",".join(str(point) for point in range(number * points + 1, (number + 1) * points + 1))


def _points_until(arena: Arena, number: int) -> range:
    return range(1, (number + 1) * arena.scaled(POINTS) + 1)


def _wait_results(arena: Arena, project: Path, number: int) -> None:
    deadline = time.monotonic() + COMMAND_SECONDS
    expected = len(_points_until(arena, number))
    while (count := len(result_files(project))) < expected:
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{project.name}: {count} of {expected} results after {COMMAND_SECONDS:g} s")
        time.sleep(LOOK_SECONDS)


ROW = Row(
    name="fifty",
    title="fifty trivial experiments, two workers: submit until all are refs",
    rounds=2,
    ours=_ours,
    others={"dvc": _peer},
    budgets=[faster("dvc", 100)],
)
