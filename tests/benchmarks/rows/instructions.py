"""Row 1 once more as a count of instructions, which does not depend on what else the machine does: `submit`, as in submit.py.

Callgrind counts those of the client's process alone. Names and sets are hashed alike in every run.
"""

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.arena import Arena, BenchmarkFailed
from benchmarks.row import OURS, Row, within

_VALGRIND = ("env", "PYTHONHASHSEED=0", "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
_COUNT = re.compile(r"Collected : (\d+)")


def _count(words: Callable[[int], Sequence[str]], arena: Arena, number: int) -> float:
    """Give the instructions of a process that ends well."""
    said = arena.ask([*_VALGRIND, sys.executable, *words(number)], arena.ours)
    found = _COUNT.search(said)
    if found is None:
        raise BenchmarkFailed(f"callgrind gave no count: {said}")
    return float(found[1])


def _submit(number: int) -> Sequence[str]:
    client = shutil.which("expctl")
    assert client is not None
    return [client, "submit", "--hold", "-S", f"x={number + 1}"]


def _missing() -> str | None:
    return None if shutil.which("valgrind") else "valgrind is not installed"


ROW = Row(
    name="instructions",
    title="submit one experiment: instructions of the whole process",
    rounds=1,
    ours=partial(_count, _submit),
    others={"python -c pass": partial(_count, lambda _number: ["-c", "pass"])},
    budgets=[within("python -c pass", 1.4)],
    unit="count",
    missing={OURS: _missing},
)
