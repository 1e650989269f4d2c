"""Queues of any length, made with few commands: what waits is held, so that nothing of it runs beside what is measured."""

import json

from benchmarks.arena import Arena
from benchmarks.checks import check_count

_SWEEP_MAX = 10_000
"""Points that the daemon takes in one submission (`sweep_points_max`)."""
_FIRST = 1_000_000
"""Points of rows that run something are smaller."""


def hold(arena: Arena, count: int) -> None:
    """Let so many entries wait for their release, and see that they do."""
    for start in range(0, count, _SWEEP_MAX):
        points = min(_SWEEP_MAX, count - start)
        sweep = f"x=range({_FIRST + start},{_FIRST + start + points})"
        ids = arena.ask(["expctl", "submit", "--hold", "--quiet", "-S", sweep], arena.ours).split()
        check_count("held entries", len(ids), points)


def submitted(arena: Arena, *words: str) -> int:
    """Submit one experiment of these words and give its entry."""
    return int(json.loads(arena.ask(["expctl", "submit", "--json", *words], arena.ours))["entries"][0]["id"])


def entry(arena: Arena, number: int) -> dict[str, object]:
    """Give an entry as `status --json` has it."""
    words = ["expctl", "status", "--json", str(number)]
    found: dict[str, object] = json.loads(arena.ask(words, arena.ours))["entries"][0]
    return found
