"""The log of a run that has ended, a gigabyte, through `follow`; against `cat`. And the daemon's memory with a hundred followers."""

import subprocess
import time
from pathlib import Path

from benchmarks.arena import COMMAND_SECONDS, Arena, BenchmarkFailed
from benchmarks.checks import check_count
from benchmarks.processes import daemon_of, memory_bytes
from benchmarks.queues import entry, submitted
from benchmarks.row import Row, within

LOG_BYTES = 1_000_000_000
FOLLOWERS = 100
_LINE = "0123456789abcdef" * 4


def _log(arena: Arena, number: int) -> Path:
    """Give the log that the first entry has left, made in the first round."""
    if number == 0:
        command = f"yes {_LINE} | head -c {arena.scaled(LOG_BYTES)}"
        arena.run(["expctl", "wait", str(submitted(arena, "--", "sh", "-c", command))], arena.ours)
    return Path(str(entry(arena, 1)["log"]))


def _ours(arena: Arena, number: int) -> float:
    _log(arena, number)
    seconds = arena.run(["sh", "-c", "expctl follow --raw 1 | wc -c"], arena.ours)
    _check_bytes(arena)
    return seconds


def _cat(arena: Arena, number: int) -> float:
    seconds = arena.run(["sh", "-c", f"cat {_log(arena, number or 1)} | wc -c"], arena.ours)
    _check_bytes(arena)
    return seconds


def _check_bytes(arena: Arena) -> None:
    seen = int((arena.directory / "output").read_text(encoding="utf-8").split()[-1])
    check_count("bytes of the log", seen, arena.scaled(LOG_BYTES))


FINISHED = Row(
    name="follow",
    title=f"follow of a log of {LOG_BYTES // 10**9} GB that is complete, into a pipe",
    rounds=3,
    ours=_ours,
    others={"cat": _cat},
    budgets=[within("cat", 3)],
)


def _with_followers(arena: Arena, number: int) -> float:
    """Give the daemon's memory when all followers have had a line of a run that goes on."""
    run = submitted(arena, "-S", f"x={number + 1}", "--", "sh", "-c", "echo begun; exec sleep 3600")
    followers = [
        subprocess.Popen(
            ["expctl", "follow", "--raw", str(run)], cwd=arena.ours, env=arena.environment, stdout=subprocess.PIPE
        )
        for _ in range(arena.scaled(FOLLOWERS))
    ]
    try:
        for follower in followers:
            assert follower.stdout is not None
            if follower.stdout.readline() != b"begun\n":
                raise BenchmarkFailed("a follower has not shown the line")
        return memory_bytes(daemon_of(arena))
    finally:
        for follower in followers:
            follower.kill()
            follower.communicate()
        arena.run(["expctl", "cancel", str(run)], arena.ours)
        _wait_done(arena, run)


def _wait_done(arena: Arena, run: int) -> None:
    deadline = time.monotonic() + COMMAND_SECONDS
    while entry(arena, run)["state"] != "done" and time.monotonic() < deadline:
        time.sleep(0.1)


def _without(arena: Arena, _number: int) -> float:
    return memory_bytes(daemon_of(arena.beside("alone")))


FOLLOWED = Row(
    name="followers",
    title=f"resident memory of the daemon with {FOLLOWERS} followers of one run, against none",
    rounds=2,
    ours=_with_followers,
    others={"no follower": _without},
    budgets=[within("no follower", 1.25)],
    unit="bytes",
)
