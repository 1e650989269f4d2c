"""A sweep of fifty over the last of three stages of 0.2 s each, eight workers; against the best schedule that there is.

The first two stages are the same for all points: run once, each, and then the last one in rounds of eight.
"""

import math
import time

from benchmarks.arena import Arena, BenchmarkFailed
from benchmarks.checks import check_count, result_refs
from benchmarks.row import Row, within

POINTS = 50
WORKERS = 8
STAGE_SECONDS = 0.2
_STAGE = """\
  {name}:
    cmd: sleep {seconds} && cat {dependency} > {output} && echo ran >> {log}
    deps: [{dependency}]
    outs: [{output}]
{more}"""


def _pipeline(log: str) -> str:
    names = [
        ("first", "source", "one", ""),
        ("second", "one", "two", ""),
        ("third", "two", "three", "    params: [x]\n"),
    ]
    stages = [
        _STAGE.format(
            name=name, dependency=dependency, output=output, more=more, seconds=STAGE_SECONDS, log=f"{log}.{name}"
        )
        for name, dependency, output, more in names
    ]
    return "stages:\n" + "".join(stages)


def _ours(arena: Arena, number: int) -> float:
    """Each round has another source, so that nothing is known from before; workers are up."""
    points, log = arena.scaled(POINTS), arena.directory / f"ran{number}"
    if number == 0:
        arena.run(["expctl", "jobs", str(WORKERS)], arena.ours)
    (arena.ours / "dvc.yaml").write_text(_pipeline(str(log)), encoding="utf-8")
    (arena.ours / "source").write_text(f"{number}\n", encoding="utf-8")
    began = time.perf_counter()
    arena.run(["expctl", "submit", "--quiet", "-S", f"x=range(1,{points + 1})"], arena.ours)
    arena.run(["expctl", "wait", "--all"], arena.ours)
    seconds = time.perf_counter() - began
    check_count("results", len(result_refs(arena, arena.ours)), (number + 1) * points)
    ran = [len(log.with_name(f"{log.name}.{name}").read_text().splitlines()) for name in ("first", "second", "third")]
    if ran != [1, 1, points]:
        raise BenchmarkFailed(f"the stages ran {ran} times, not [1, 1, {points}]")
    return seconds


def _ideal(arena: Arena, _number: int) -> float:
    return STAGE_SECONDS * (2 + math.ceil(arena.scaled(POINTS) / WORKERS))


ROW = Row(
    name="schedule",
    title=f"a sweep of {POINTS} over the last of three stages of {STAGE_SECONDS} s, {WORKERS} workers",
    rounds=3,
    ours=_ours,
    others={"ideal schedule": _ideal},
    budgets=[within("ideal schedule", 1.25)],
)
