"""From a line that a job writes to the same line on the standard output of `follow`; against `tail -f` of a file.

Each line is the moment at which it was written, by the clock that all processes share. Writer and waiting are alike on both sides.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial

from benchmarks.arena import COMMAND_SECONDS, Arena, BenchmarkFailed
from benchmarks.queues import submitted
from benchmarks.row import Row, limit, within

LINES = 300
_WRITE = """
import sys, time
time.sleep(2)
for _ in range({lines}):
    sys.stdout.write(f"{{time.monotonic_ns()}}\\n")
    sys.stdout.flush()
    time.sleep(0.01)
"""


def _ours(part: float, arena: Arena, number: int) -> float:
    lines = arena.scaled(LINES)
    entry = submitted(arena, "-S", f"x={number + 1}", "--", sys.executable, "-u", "-c", _WRITE.format(lines=lines))
    return _part(_delays(arena, ["expctl", "follow", "--raw", str(entry)], lines), part)


def _tail(part: float, arena: Arena, number: int) -> float:
    lines = arena.scaled(LINES)
    log = arena.peer / f"log{number}"
    with log.open("wb") as stream:
        writer = subprocess.Popen([sys.executable, "-u", "-c", _WRITE.format(lines=lines)], stdout=stream)
        try:
            return _part(_delays(arena, ["tail", "-n", "+1", "-f", f"--pid={writer.pid}", str(log)], lines), part)
        finally:
            writer.wait()


def _delays(arena: Arena, follower: Sequence[str], lines: int) -> list[float]:
    """Give for every line how long it took, in seconds; raises BenchmarkFailed unless all have come."""
    delays: list[float] = []
    deadline = time.monotonic() + COMMAND_SECONDS
    process = subprocess.Popen(follower, cwd=arena.ours, env=arena.environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    rest = b""
    while len(delays) < lines and (piece := os.read(process.stdout.fileno(), 1 << 16)) and time.monotonic() < deadline:
        now = time.monotonic_ns()
        *whole, rest = (rest + piece).split(b"\n")
        delays += [(now - int(line)) / 1e9 for line in whole if line.isdigit()]
    process.stdout.close()
    process.terminate()
    process.wait()
    if len(delays) != lines:
        raise BenchmarkFailed(f"{follower[0]}: {len(delays)} lines of {lines} came")
    return delays


def _part(delays: Sequence[float], part: float) -> float:
    """Give what so many of the lines stayed below."""
    return sorted(delays)[min(len(delays) - 1, int(len(delays) * part))]


def _row(name: str, part: float, allowed: float) -> Row:
    words = f"{allowed * 1000:g} ms"
    return Row(
        name=name,
        title=f"a line of a job until `follow` shows it: what {part:.0%} of {LINES} lines stay below",
        rounds=3,
        ours=partial(_ours, part),
        others={"tail -f": partial(_tail, part), words: limit(allowed)},
        budgets=[within(words, 1)],
    )


HALF = _row("latency-50", 0.50, 0.002)
NEARLY_ALL = _row("latency-99", 0.99, 0.020)
