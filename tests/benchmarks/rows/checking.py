"""Five hundred stages, all up to date: a process that reads the project and finds that nothing has to run; against `dvc status`.

Nothing is remembered from before on our side, as in the first run of a new worker; DVC has its memory of hashes.
"""

import json
import shutil
import sys
from pathlib import Path

from benchmarks.arena import Arena, BenchmarkFailed
from benchmarks.row import Row, faster

STAGES = 500
_ALONE = Path(__file__).parents[1] / "alone.py"
_UP_TO_DATE = "Data and pipelines are up to date."


def _pipeline() -> str:
    """Chains of ten stages, each of which copies what the one before has made."""
    lines = ["stages:"]
    for number in range(STAGES):
        dependency = f"o{number - 1}" if number % 10 else "source"
        lines += [
            f"  s{number}:",
            f"    cmd: cp {dependency} o{number}",
            f"    deps: [{dependency}]",
            "    params: [x]",
            f"    outs: [o{number}]",
        ]
    return "\n".join([*lines, ""])


def _make(arena: Arena) -> None:
    """Let every stage of both projects be up to date; what we record DVC accepts, or its side fails."""
    (arena.ours / "dvc.yaml").write_text(_pipeline(), encoding="utf-8")
    (arena.ours / "source").write_text("source\n", encoding="utf-8")
    arena.run([sys.executable, str(_ALONE), "run", str(arena.ours)], arena.ours)
    shutil.copytree(arena.ours, arena.peer, dirs_exist_ok=True)


def _ours(arena: Arena, _number: int) -> float:
    if not (arena.ours / "source").exists():
        _make(arena)
    seconds = arena.run([sys.executable, str(_ALONE), "check", str(arena.ours)], arena.ours)
    found = json.loads((arena.directory / "output").read_text(encoding="utf-8"))["verdicts"]
    if found != {"Unchanged": STAGES}:
        raise BenchmarkFailed(f"{STAGES} stages should be unchanged, not {found}")
    return seconds


def _peer(arena: Arena, _number: int) -> float:
    seconds = arena.run(["dvc", "status"], arena.peer)
    said = (arena.directory / "output").read_text(encoding="utf-8")
    if _UP_TO_DATE not in said:
        raise BenchmarkFailed(f"dvc says: {said[:500]}")
    return seconds


def _floor(arena: Arena, _number: int) -> float:
    return arena.run([sys.executable, "-c", "pass"], arena.ours)


ROW = Row(
    name="check",
    title=f"find {STAGES} stages up to date: a whole process, against dvc status",
    rounds=5,
    ours=_ours,
    others={"dvc": _peer, "python -c pass": _floor},
    budgets=[faster("dvc", 20)],
)
