"""Hashing alone, in a process that is up, of data that is in memory; against `md5sum` with as many processes as there are cores."""

import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.arena import Arena
from benchmarks.checks import check_count
from benchmarks.row import Row, within
from benchmarks.rows.storing import FILES, LARGE_BYTES, make_files, make_large

_WARM = Path(__file__).parents[1] / "warm.py"
Make = Callable[[Arena, Path], None]


def _data(make: Make, arena: Arena) -> Path:
    data = arena.ours / "data"
    if not data.exists():
        make(arena, data)
    return data


def _ours(make: Make, arena: Arena, _number: int) -> float:
    return arena.time([sys.executable, str(_WARM), "hash", str(_data(make, arena))], arena.ours)


def _md5sum(make: Make, arena: Arena, _number: int) -> float:
    data = _data(make, arena)
    script = f"find {data} -type f -print0 | xargs -0 -n 500 -P {os.cpu_count()} md5sum"
    seconds = arena.run(["sh", "-c", script], arena.ours)
    lines = (arena.directory / "output").read_text(encoding="utf-8").splitlines()
    check_count("hashes of md5sum", len(lines), sum(1 for path in data.rglob("*") if path.is_file()) or 1)
    return seconds


def _missing() -> str | None:
    return None if shutil.which("md5sum") else "md5sum is not installed"


def _row(name: str, title: str, make: Make) -> Row:
    return Row(
        name=name,
        title=title,
        rounds=3,
        ours=partial(_ours, make),
        others={"md5sum": partial(_md5sum, make)},
        budgets=[within("md5sum", 1.3)],
        missing={"md5sum": _missing},
    )


MANY = _row("hash-files", f"hash {FILES} files of 64 bytes to 6 kB", make_files)
LARGE = _row("hash-large", f"hash a file of {LARGE_BYTES // 10**9} GB", make_large)
