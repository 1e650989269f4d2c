"""`expctl status` with a long queue and sixteen that run, against the same with ten that wait: a person looks, and looks again."""

import time
from functools import partial

from benchmarks.arena import COMMAND_SECONDS, Arena, BenchmarkFailed
from benchmarks.checks import check_count
from benchmarks.queues import hold
from benchmarks.row import Row, Side, within

RUNNING = 16
FEW = 10


def _status(waiting: int, arena: Arena, number: int) -> float:
    """Look once; the first time, make the queue."""
    other = arena.beside(f"q{waiting}")
    if number == 0:
        running = arena.scaled(RUNNING)
        other.run(["expctl", "jobs", str(running)], other.ours)
        other.run(["expctl", "submit", "-S", f"x=range({running})", "--", "sleep", "3600"], other.ours)
        _wait_running(other, running)
        hold(other, waiting if waiting == FEW else arena.scaled(waiting))
    seconds = other.run(["expctl", "status"], other.ours)
    lines = (other.directory / "output").read_text(encoding="utf-8").splitlines()
    check_count("lines of what runs", sum("running" in line for line in lines), arena.scaled(RUNNING))
    return seconds


def _wait_running(arena: Arena, running: int) -> None:
    deadline = time.monotonic() + COMMAND_SECONDS
    while arena.ask(["expctl", "status", "s1"], arena.ours).count("running") < running:
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{running} commands should run")
        time.sleep(0.1)


def _row(name: str, waiting: int) -> Row:
    few: Side = partial(_status, FEW)
    return Row(
        name=name,
        title=f"status, {RUNNING} running and {waiting} waiting: the whole process, against {FEW} waiting",
        rounds=5,
        ours=partial(_status, waiting),
        others={f"{FEW} waiting": few},
        budgets=[within(f"{FEW} waiting", 1.5)],
    )


MANY = _row("status", 10_000)
VERY_MANY = _row("status-long", 100_000)
