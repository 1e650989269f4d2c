"""An output is hashed, stored in the cache and linked back, once its stage has ended; against `dvc add` of the same data.

Both sides and the floor find the data in memory, and an empty cache. The floor is what one core of md5 and one copy allow.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.arena import Arena, BenchmarkFailed
from benchmarks.row import Row

FILES = 20_000
LARGE_BYTES = 2_000_000_000
_BLOCK_BYTES = 1 << 20
_ALONE = Path(__file__).parents[1] / "alone.py"


def make_files(arena: Arena, path: Path) -> None:
    """Write files of 64 bytes to 6 kB in a hundred directories."""
    for number in range(arena.scaled(FILES)):
        file = path / f"{number % 100:02d}" / f"{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(number.to_bytes(8, "big") * (8 + number % 768))


def make_large(arena: Arena, path: Path) -> None:
    """Write random bytes."""
    with path.open("wb") as file:
        for _ in range(arena.scaled(LARGE_BYTES) // _BLOCK_BYTES):
            file.write(os.urandom(_BLOCK_BYTES))


def _data(arena: Arena, make: Callable[[Arena, Path], None]) -> Path:
    """Give the data in our project, made the first time, with the same in the peer's."""
    ours, theirs = arena.ours / "data", arena.peer / "data"
    if not ours.exists():
        make(arena, ours)
        arena.run(["cp", "-r", str(ours), str(theirs)], arena.ours)
        os.sync()
    return ours


def _ours(make: Callable[[Arena, Path], None], arena: Arena, _number: int) -> float:
    data, cache = _data(arena, make), arena.ours / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    os.sync()
    seconds = arena.run([sys.executable, str(_ALONE), "store", str(data), str(cache)], arena.ours)
    (arena.directory / "ours.json").write_bytes((arena.directory / "output").read_bytes())
    return seconds


def _peer(arena: Arena, _number: int) -> float:
    for path in (arena.peer / ".dvc" / "cache", arena.peer / ".dvc" / "tmp", arena.directory / "site"):
        shutil.rmtree(path, ignore_errors=True)
    (arena.peer / "data.dvc").unlink(missing_ok=True)
    os.sync()
    seconds = arena.run(["dvc", "add", "--quiet", "data"], arena.peer)
    found = json.loads((arena.directory / "ours.json").read_text(encoding="utf-8"))["md5"]
    if found not in (arena.peer / "data.dvc").read_text(encoding="utf-8"):
        raise BenchmarkFailed(f"{found} is not what DVC has found")
    return seconds


def _floor(arena: Arena, _number: int) -> float:
    """Hash with md5sum, copy with cp, and wait for the disk."""
    shutil.rmtree(arena.directory / "copy", ignore_errors=True)
    os.sync()
    script = "find data -type f -print0 | xargs -0 md5sum > /dev/null && mkdir ../copy && cp -r data ../copy && sync -f ../copy"
    return arena.run(["sh", "-c", script], arena.ours)


def _remark(arena: Arena) -> str:
    found = json.loads((arena.directory / "ours.json").read_text(encoding="utf-8"))
    return f"peak memory {found['peak_bytes'] / 1e6:.0f} MB, of which {found['peak_bytes_before'] / 1e6:.0f} MB before the first file"


def _row(name: str, title: str, make: Callable[[Arena, Path], None]) -> Row:
    return Row(
        name=name,
        title=title,
        rounds=3,
        ours=partial(_ours, make),
        others={"dvc": _peer, "md5sum, cp, sync": _floor},
        remark=_remark,
    )


MANY = _row("files", f"hash and store an output of {FILES} files, against dvc add", make_files)
LARGE = _row("large", "hash and store an output of 2 GB, against dvc add", make_large)
