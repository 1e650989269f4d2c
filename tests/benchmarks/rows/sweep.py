"""A sweep of a thousand points in one submission, for each point; against DVC's queue with fifty of them.

Nothing runs meanwhile on either side. Fifty are enough for DVC: each costs as much as the one before.
"""

from benchmarks.arena import Arena
from benchmarks.checks import check_count
from benchmarks.row import Row, faster, limit, within

POINTS = 1_000
POINTS_OF_DVC = 50


def _ours(arena: Arena, number: int) -> float:
    points = arena.scaled(POINTS)
    sweep = f"x=range({number * points + 1},{(number + 1) * points + 1})"
    seconds = arena.run(["expctl", "submit", "--hold", "--quiet", "-S", sweep], arena.ours)
    check_count("entries", len(arena.ask(["expctl", "status", "--quiet"], arena.ours).split()), (number + 1) * points)
    return seconds / points


def _peer(arena: Arena, number: int) -> float:
    points = arena.scaled(POINTS_OF_DVC)
    sweep = "x=" + ",".join(str(point) for point in range(number * points + 1, (number + 1) * points + 1))
    seconds = arena.run(["dvc", "exp", "run", "--queue", "-S", sweep], arena.peer)
    entries = arena.ask(["git", "rev-list", "--walk-reflogs", "--count", "refs/exps/celery/stash"], arena.peer)
    check_count("refs/exps/celery/stash", int(entries), (number + 1) * points)
    return seconds / points


ROW = Row(
    name="sweep",
    title=f"a sweep of {POINTS} points, for each point; DVC with {POINTS_OF_DVC}",
    rounds=3,
    ours=_ours,
    others={"dvc": _peer, "1,000 points/s": limit(0.001)},
    budgets=[faster("dvc", 100), within("1,000 points/s", 1)],
)
