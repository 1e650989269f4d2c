"""`show --json` of a thousand experiments, the first time after a start and again; against `dvc exp show --json`, cold and warm.

The experiments are made by the bare loop, the same for both sides; both must show every one of them with its metric.
"""

import json
import re
import shutil
import sys
from functools import partial

from benchmarks.arena import Arena
from benchmarks.checks import check_count
from benchmarks.row import Row, faster
from benchmarks.rows.thousand import BARE

EXPERIMENTS = 1_000
_NAME = re.compile(r'"name": "(bare-[0-9]+)"')


def _make(arena: Arena) -> None:
    if not (arena.peer.with_name("peer-bare")).exists():
        last = str(arena.scaled(EXPERIMENTS) + 1)
        for project in (arena.ours, arena.peer):
            arena.run([sys.executable, str(BARE), str(project), "1", last], project)


def _ours(first: bool, arena: Arena, _number: int) -> float:
    _make(arena)
    if first:
        arena.run(["expctl", "daemon", "restart"], arena.ours)
    else:
        arena.run(["expctl", "show", "--json"], arena.ours)
    seconds = arena.run(["expctl", "show", "--json"], arena.ours)
    shown = json.loads((arena.directory / "output").read_text(encoding="utf-8"))["experiments"]
    check_count("experiments that show has", sum(bool(one["metrics"]) for one in shown), arena.scaled(EXPERIMENTS))
    return seconds


def _peer(first: bool, arena: Arena, _number: int) -> float:
    _make(arena)
    if first:
        for path in (arena.peer / ".dvc" / "tmp", arena.directory / "site"):
            shutil.rmtree(path, ignore_errors=True)
        for refs in arena.ask(["git", "for-each-ref", "--format=%(refname)", "refs/exps/cache"], arena.peer).split():
            arena.run(["git", "update-ref", "-d", refs], arena.peer)
    seconds = arena.run(["dvc", "exp", "show", "--json"], arena.peer)
    said = (arena.directory / "output").read_text(encoding="utf-8")
    check_count("experiments that dvc has", len(set(_NAME.findall(said))), arena.scaled(EXPERIMENTS))
    return seconds


def _row(name: str, title: str, times: float, *, first: bool) -> Row:
    return Row(
        name=name,
        title=f"show --json of {EXPERIMENTS} experiments, {title}",
        rounds=3,
        ours=partial(_ours, first),
        others={"dvc": partial(_peer, first)},
        budgets=[faster("dvc", times)],
        warm_up_rounds=1,
    )


FIRST = _row("show-first", "the first time", 20, first=True)
AGAIN = _row("show-again", "again", 10, first=False)
