"""A repository with a history of a gigabyte and a cached dataset of twenty thousand files, linked: until the stage starts.

Against `dvc exp run --temp`. The stage writes down when it was started; what lies on the disk then is counted as well.
"""

import os
import time
from pathlib import Path

from benchmarks.arena import Arena, BenchmarkFailed
from benchmarks.row import Row, faster, limit, within

HISTORY_BYTES = 1_000_000_000
FILES = 20_000
_BLOBS = 50
_PIPELINE = """\
stages:
  use:
    cmd: date +%s.%N > {mark} && test -e data/00/0 && cp params.yaml metrics.yaml
    deps: [data]
    params: [x]
    metrics:
    - metrics.yaml:
        cache: false
"""
_LINKS = "[core]\n    analytics = false\n[cache]\n    type = symlink\n"


def _make(arena: Arena, project: Path) -> Path:
    """Make history, dataset and pipeline once; the dataset is added by DVC on both sides."""
    mark = arena.directory / f"{project.name}.started"
    if not (project / "data").exists():
        (project / ".dvc" / "config").write_text(_LINKS, encoding="utf-8")
        _make_history(arena, project)
        for number in range(arena.scaled(FILES)):
            file = project / "data" / f"{number % 100:02d}" / f"{number}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{number}\n", encoding="utf-8")
        arena.run(["dvc", "add", "--quiet", "data"], project)
        (project / "dvc.yaml").write_text(_PIPELINE.format(mark=mark), encoding="utf-8")
        arena.run(["git", "add", "--all"], project)
        arena.run(["git", "commit", "--quiet", "--message=data"], project)
    mark.unlink(missing_ok=True)
    return mark


def _make_history(arena: Arena, project: Path) -> None:
    """Commit random bytes again and again in the place of the last: Git can make nothing of them smaller."""
    blob = project / "blob"
    for _ in range(_BLOBS):
        blob.write_bytes(os.urandom(arena.scaled(HISTORY_BYTES) // _BLOBS))
        arena.run(["git", "add", "blob"], project)
        arena.run(["git", "commit", "--quiet", "--message=more"], project)
    blob.write_bytes(b"small\n")


def _started(mark: Path, began: float) -> float:
    if not mark.exists():
        raise BenchmarkFailed(f"{mark.name}: the stage has not run")
    return float(mark.read_text(encoding="utf-8")) - began


def _ours(arena: Arena, number: int) -> float:
    mark = _make(arena, arena.ours)
    before = _disk_bytes(arena.ours)
    began = time.time()
    arena.run(["expctl", "submit", "-S", f"x={number + 1}"], arena.ours)
    arena.run(["expctl", "wait", "--all"], arena.ours)
    (arena.directory / "used").write_text(str(_disk_bytes(arena.ours) - before), encoding="utf-8")
    return _started(mark, began)


def _peer(arena: Arena, number: int) -> float:
    mark = _make(arena, arena.peer)
    began = time.time()
    arena.run(["dvc", "exp", "run", "--temp", "-S", f"x={number + 1}"], arena.peer)
    return _started(mark, began)


def _disk_bytes(project: Path) -> int:
    """Give what a project takes on the disk, but for links and directories: those are what the worktree is made of."""
    found = (os.lstat(f"{place}/{name}") for place, _, names in os.walk(project) for name in names)
    return sum({status.st_ino: status.st_blocks * 512 for status in found if not _is_link(status)}.values())


def _is_link(status: os.stat_result) -> bool:
    return status.st_mode & 0o170000 == 0o120000


START = Row(
    name="start",
    title=f"{HISTORY_BYTES // 10**9} GB of history, {FILES} cached files: until the stage starts, against dvc exp run --temp",
    rounds=3,
    ours=_ours,
    others={"dvc": _peer},
    budgets=[faster("dvc", 20)],
)


def _used(arena: Arena, number: int) -> float:
    """Give the bytes that one more experiment leaves on the disk, the first one's worktree and manifests not counted."""
    _ours(arena, number)
    return float((arena.directory / "used").read_text(encoding="utf-8"))


DISK = Row(
    name="disk",
    title="the same: what an experiment leaves on the disk beside links",
    rounds=2,
    ours=_used,
    others={"1 MB": limit(1_000_000)},
    budgets=[within("1 MB", 1)],
    unit="bytes",
)
