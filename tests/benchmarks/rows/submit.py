"""Submit one experiment, the whole process as a shell runs it, with a daemon that is up; against DVC's `--queue`.

Nothing runs meanwhile on either side: our queue is paused, DVC's has no worker.
"""

import sys

from benchmarks.arena import Arena
from benchmarks.checks import check_count
from benchmarks.row import Row, faster, within


def _ours(arena: Arena, number: int) -> float:
    if number == 0:
        arena.run(["expctl", "pause"], arena.ours)
    seconds = arena.run(["expctl", "submit", "-S", f"x={number + 1}"], arena.ours)
    refs = arena.ask(["git", "for-each-ref", "refs/expd/entries"], arena.ours).splitlines()
    check_count("refs/expd/entries", len(refs), number + 1)
    return seconds


def _peer(arena: Arena, number: int) -> float:
    seconds = arena.run(["dvc", "exp", "run", "--queue", "-S", f"x={number + 1}"], arena.peer)
    entries = arena.ask(["git", "rev-list", "--walk-reflogs", "--count", "refs/exps/celery/stash"], arena.peer)
    check_count("refs/exps/celery/stash", int(entries), number + 1)
    return seconds


def _floor(arena: Arena, _number: int) -> float:
    return arena.run([sys.executable, "-c", "pass"], arena.ours)


ROW = Row(
    name="submit",
    title="submit one experiment: whole process, daemon up",
    rounds=9,
    ours=_ours,
    others={"dvc": _peer, "python -c pass": _floor},
    budgets=[faster("dvc", 40), within("python -c pass", 1.4)],
    warm_up_rounds=2,
)
