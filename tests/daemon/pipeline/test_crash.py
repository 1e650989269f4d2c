"""Whenever the process dies while a stage is recorded, nothing false is left, and the next attempt ends as if it never had."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.pipeline import crash
from daemon.pipeline.driver import a_project
from daemon.pipeline.oracle import write_files
from expd.pipeline.hashing import hash_file
from expd.pipeline.lockfile import parse_lock

POINTS_MAX = 200  # more than recording this project asks for; a loop that never ends is a failure

FILES: dict[str, str | None] = {
    "dvc.yaml": "stages:\n  a:\n    cmd: x\n    deps: [src]\n    outs: [d, o, x]\n    metrics: [m: {cache: false}]\n",
    "src": "s\n",
    "d/one": "1\n",
    "d/two": "2\n",
    "o": "o\n",
    "x!": "x\n",
    "m": "1\n",
}


def a_root(base: Path, kind: str) -> Path:
    """A project whose stage has run and is not recorded."""
    write_files(base, {**FILES, ".dvc/config": f"[cache]\n    type = {kind}\n"})
    subprocess.run(["git", "init", "-q", str(base)], check=True)
    return base


def left_behind(root: Path) -> dict[str, bytes]:
    """Every file below the project that a reader could take for finished."""
    files = (file for file in root.rglob("*") if file.is_file() and ".git" not in file.relative_to(root).parts)
    return {
        str(file.relative_to(root)): file.read_bytes() for file in files if not file.name.endswith((".tmp", ".partial"))
    }


def check_truth(root: Path) -> None:
    """Objects are what their names say, dvc.lock is whole, and whatever it records is in the cache."""
    for file in (root / ".dvc" / "cache" / "files").rglob("*"):
        if file.is_file() and not file.name.endswith(".tmp"):
            assert hash_file(str(file)) == file.parent.name + file.name.removesuffix(".dir")
    lock = root / "dvc.lock"
    entries = parse_lock(lock.read_text(), "dvc.lock") if lock.exists() else {}
    project = a_project(root)
    (stage,) = project.order()
    assert set(entries) <= {"a"}
    if entries:
        assert project.examine(stage).__class__.__name__ == "Unchanged"


@pytest.mark.parametrize(("kind", "first"), [("copy", 1), ("hardlink", 2)])
def test_dying_at_any_point_leaves_nothing_false(tmp_path: Path, kind: str, first: int) -> None:
    """The process is ended before every second change it makes to the disk; then the stage is recorded again."""
    fresh = a_root(tmp_path / "fresh", kind)
    a_project(fresh).record(a_project(fresh).order()[0])
    expected = left_behind(fresh)
    for point in range(first, POINTS_MAX, 2):
        root = a_root(tmp_path / "root", kind)
        environ = {**os.environ, "PYTHONPATH": str(Path(crash.__file__).parents[2])}
        code = subprocess.run(
            [sys.executable, crash.__file__, str(root), str(point)], env=environ, check=False
        ).returncode
        assert code in {0, 9}
        check_truth(root)
        project = a_project(root)
        write_files(root, FILES)
        project.record(project.order()[0])
        assert left_behind(root) == expected
        shutil.rmtree(root)
        if code == 0:
            return
    pytest.fail("recording never came to an end")
