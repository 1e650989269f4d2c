"""A thousand commands that do nothing, two at once, until all have ended; against queues that capture nothing and keep nothing.

Ours makes an experiment of each: captured, committed, durable. task-spooler is asked by a thousand processes of its client,
as its users do it; HyperQueue by one job with a thousand tasks, its server and worker within the time of no round.
"""

import json
import time
from pathlib import Path

from benchmarks.arena import Arena
from benchmarks.checks import check_count, result_refs
from benchmarks.peers import hyperqueue_missing, hyperqueue_python, spooler, spooler_missing
from benchmarks.row import Row, within

COMMANDS = 1_000
WORKERS = 2
_HYPERQUEUE = Path(__file__).parents[1] / "hyperqueued.py"


def _ours(arena: Arena, number: int) -> float:
    commands = arena.scaled(COMMANDS)
    if number == 0:
        arena.run(["expctl", "jobs", str(WORKERS)], arena.ours)
    began = time.perf_counter()
    sweep = f"x=range({number * commands},{(number + 1) * commands})"
    arena.run(["expctl", "submit", "--quiet", "-S", sweep, "--", "true"], arena.ours)
    arena.run(["expctl", "wait", "--all"], arena.ours)
    seconds = time.perf_counter() - began
    check_count("experiments", len(result_refs(arena, arena.ours)), (number + 1) * commands)
    return seconds


def _spooler(arena: Arena, number: int) -> float:
    """Wait for the last that was queued (`tsp -w`), and count those that have finished."""
    commands, program = arena.scaled(COMMANDS), spooler()
    queue = [
        "env",
        f"TS_SOCKET={arena.directory}/tsp",
        f"TS_SAVELIST={arena.directory}/tsp.list",
        "TS_MAXFINISHED=2000",
    ]
    if number == 0:
        arena.run([*queue, program, "-S", str(WORKERS)], arena.peer)
    script = f"for i in $(seq {commands}); do {program} -n true > /dev/null; done; {program} -w > /dev/null"
    seconds = arena.run([*queue, "sh", "-c", script], arena.peer)
    listed = arena.ask([*queue, program], arena.peer).splitlines()
    check_count("commands of task-spooler", sum(" finished " in line for line in listed), commands)
    arena.run([*queue, program, "-C"], arena.peer)
    return seconds


def _hyperqueue(arena: Arena, _number: int) -> float:
    commands = arena.scaled(COMMANDS)
    words = [hyperqueue_python(), str(_HYPERQUEUE), str(commands), str(WORKERS)]
    found = json.loads(arena.ask(words, arena.peer).splitlines()[-1])
    check_count("tasks of HyperQueue", int(found["finished"]), commands)
    return float(found["seconds"])


ROW = Row(
    name="commands",
    title=f"{COMMANDS} commands that do nothing, two at once; peers capture and keep nothing",
    rounds=2,
    ours=_ours,
    others={"task-spooler": _spooler, "hyperqueue": _hyperqueue},
    budgets=[within("task-spooler", 4), within("hyperqueue", 4)],
    missing={"task-spooler": spooler_missing, "hyperqueue": hyperqueue_missing},
    warm_up_rounds=0,
)
