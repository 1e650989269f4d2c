"""Twenty trivial experiments, from the command that submits them until all results are refs; two workers on each side.

Our daemon and its workers are up, as they are for whoever uses them; DVC's workers start with `dvc queue start`, as
they do for whoever uses them. Between rounds DVC's workers are ended, so that they don't run beside us.
"""

import time
from pathlib import Path

from benchmarks.arena import COMMAND_SECONDS, Arena, BenchmarkFailed, end_processes
from benchmarks.checks import check_points, result_files
from benchmarks.row import Row, faster

POINTS = 20
WORKERS = 2
LOOK_SECONDS = 0.02
"""Between two looks at the refs: small beside a round, and nearly free."""


def _ours(arena: Arena, number: int) -> float:
    if number == 0:
        arena.run(["expctl", "jobs", str(WORKERS)], arena.ours)
    began = time.perf_counter()
    arena.run(["expctl", "submit", "-S", _sweep(number)], arena.ours)
    _wait_results(arena.ours, number)
    seconds = time.perf_counter() - began
    arena.run(["expctl", "wait", "--all"], arena.ours)
    check_points(arena, arena.ours, _points_until(number))
    return seconds


def _peer(arena: Arena, number: int) -> float:
    began = time.perf_counter()
    arena.run(["dvc", "exp", "run", "--queue", "-S", _sweep(number)], arena.peer)
    arena.run(["dvc", "queue", "start", "-j", str(WORKERS)], arena.peer)
    _wait_results(arena.peer, number)
    seconds = time.perf_counter() - began
    arena.run(["dvc", "queue", "stop"], arena.peer)
    end_processes(arena.peer)
    check_points(arena, arena.peer, _points_until(number))
    return seconds


def _sweep(number: int) -> str:
    """Give a sweep of values that no round before had: nothing may come from a cache."""
    return "x=" + ",".join(str(point) for point in range(number * POINTS + 1, (number + 1) * POINTS + 1))


def _points_until(number: int) -> range:
    return range(1, (number + 1) * POINTS + 1)


def _wait_results(project: Path, number: int) -> None:
    deadline = time.monotonic() + COMMAND_SECONDS
    expected = len(_points_until(number))
    while (count := len(result_files(project))) < expected:
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{project.name}: {count} of {expected} results after {COMMAND_SECONDS:g} s")
        time.sleep(LOOK_SECONDS)


ROW = Row(
    name="twenty",
    title="twenty trivial experiments, two workers: submit until all are refs",
    rounds=3,
    ours=_ours,
    others={"dvc": _peer},
    budgets=[faster("dvc", 100)],
)
