"""Processor time of daemon and workers for one trivial experiment: with an empty queue, and with ten thousand that wait."""

from benchmarks.arena import Arena
from benchmarks.checks import check_points
from benchmarks.processes import daemon_of, family_of, processor_seconds
from benchmarks.queues import hold
from benchmarks.row import Row, limit, within

POINTS = 100
WAITING = 10_000


def _spent(arena: Arena, number: int) -> float:
    """Run a sweep and give what it took for each point; commands count, as they are children of the workers."""
    points = arena.scaled(POINTS)
    if number == 0:
        arena.run(["expctl", "jobs", "2"], arena.ours)
    daemon = daemon_of(arena)
    before = processor_seconds(family_of(daemon))
    sweep = f"x=range({number * points + 1},{(number + 1) * points + 1})"
    submission = arena.ask(["expctl", "submit", "--quiet", "-S", sweep], arena.ours).split()
    arena.run(["expctl", "wait", *submission], arena.ours)
    spent = processor_seconds(family_of(daemon)) - before
    check_points(arena, arena.ours, range(1, (number + 1) * points + 1))
    return spent / points


def _beside_many(arena: Arena, number: int) -> float:
    many = arena.beside("many")
    if number == 0:
        hold(many, arena.scaled(WAITING))
    return _spent(many, number)


ROW = Row(
    name="processor",
    title=f"processor time of daemon, workers and commands for an experiment, {WAITING} others waiting",
    rounds=3,
    ours=_beside_many,
    others={"nothing waiting": _spent, "15 ms": limit(0.015)},
    budgets=[within("nothing waiting", 1.1), within("15 ms", 1)],
)
