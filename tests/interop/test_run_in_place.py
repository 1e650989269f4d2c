"""`expctl run` leaves in a workspace what `dvc exp run` leaves there: files, modes, lock, cache; after success and failure."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.daemons import BIN, DEADLINE_SECONDS, RunningDaemon, a_daemon
from helpers.repositories import GIT_ENVIRONMENT, a_repository, git, write_files

pytestmark = pytest.mark.interop

PROJECT = {
    "dvc.yaml": """\
stages:
  prepare:
    cmd: sh prepare.sh
    deps: [prepare.sh, raw.txt]
    outs: [prepared, sub/new.txt]
  train:
    cmd: sh train.sh
    deps: [train.sh, prepared]
    params: [lr]
    outs: [model.bin]
    metrics:
      - metrics.json: {cache: false}
  report:
    cmd: sh report.sh
    deps: [report.sh, model.bin]
    outs: [report.txt]
""",
    "prepare.sh": "mkdir -p prepared sub\nsort raw.txt > prepared/sorted.txt\necho new > sub/new.txt\n",
    "train.sh": 'lr=$(sed -n "s/^lr: //p" params.yaml)\necho "weights $lr" > model.bin\necho "{\\"acc\\": $lr}" > metrics.json\n',
    "report.sh": "cat model.bin > report.txt\n",
    "params.yaml": "lr: 0.1\nseed: 7\n",
    "raw.txt": "b\na\n",
    "sub/keep.txt": "kept\n",
}


@pytest.fixture
def daemon() -> Iterator[RunningDaemon]:
    """Give a daemon of its own to each test."""
    with a_daemon() as running:
        yield running


def _a_project(path: Path, environ: dict[str, str]) -> Path:
    """Make a DVC project in which everything has been run once, with a data source that DVC tracks."""
    project = a_repository(path, PROJECT)
    git(project, "rm", "--quiet", "--cached", "raw.txt")
    for arguments in (["init", "--quiet"], ["add", "--quiet", "raw.txt"], ["repro", "--quiet"]):
        _dvc(project, environ, *arguments)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "run once")
    return project


def _dvc(project: Path, environ: dict[str, str], *arguments: str) -> int:
    return subprocess.run(
        [BIN / "dvc", *arguments],
        cwd=project,
        env=environ,
        capture_output=True,
        timeout=2 * DEADLINE_SECONDS,
        check=False,
    ).returncode


def _contents(project: Path) -> dict[str, tuple[int, bytes]]:
    """Give mode and bytes of every file of a workspace and of its cache."""
    found = {}
    for directory, subdirectories, files in os.walk(project):
        relative = Path(directory).relative_to(project)
        if relative.as_posix() in {".git", ".dvc/tmp"}:
            subdirectories.clear()
            continue
        for name in files:
            path = Path(directory, name)
            found[(relative / name).as_posix()] = (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
    return found


@pytest.mark.parametrize(
    ("edits", "arguments"),
    [
        ({}, ["-S", "lr=0.5"]),
        ({"train.sh": PROJECT["train.sh"] + "# edited\n"}, ["-S", "lr=0.5"]),
        ({"raw.txt": "d\nc\n"}, []),
        ({"model.bin": "spoiled\n"}, []),
        ({"report.sh": "echo half > report.txt; exit 3\n"}, ["-S", "lr=0.5"]),
        ({"train.sh": "echo half > model.bin; exit 3\n"}, ["-S", "lr=0.5"]),
        ({"dvc.yaml": PROJECT["dvc.yaml"].replace("sub/new.txt", "sub/other.txt")}, []),
        ({"prepare.sh": PROJECT["prepare.sh"] + "exit 4\n"}, ["--force"]),
    ],
)
def test_the_workspace_afterwards_is_as_dvc_leaves_it(
    daemon: RunningDaemon, tmp_path: Path, edits: dict[str, str], arguments: list[str]
) -> None:
    """From the same start, both leave the same files, modes, dvc.lock, .gitignore and cache, whether it succeeds or not."""
    environ = {**daemon.environ, **GIT_ENVIRONMENT, "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    theirs = _a_project(tmp_path / "theirs", environ)
    ours = Path(shutil.copytree(theirs, tmp_path / "ours", symlinks=True))
    for project in (theirs, ours):
        write_files(project, edits)

    code = _dvc(theirs, environ, "exp", "run", "-n", "tried", *arguments)
    ran = daemon.run_expctl(ours, "run", "-n", "tried", *arguments)

    assert (ran.returncode == 0) == (code == 0), ran.stderr.decode()
    assert _contents(ours) == _contents(theirs)
    (theirs / "params.yaml").touch()  # what DVC wrote in the same instant with the same size, Git does not see
    assert git(ours, "status", "--porcelain") == git(theirs, "status", "--porcelain")
    if code == 0:
        trees = [git(project, "rev-parse", f"{_experiment(project)}^{{tree}}") for project in (ours, theirs)]
        assert git(ours, "ls-tree", "-r", trees[0]) == git(theirs, "ls-tree", "-r", trees[1])


def _experiment(project: Path) -> str:
    return git(project, "for-each-ref", "--format=%(objectname)", f"refs/exps/{_baseline(project)}/")


def _baseline(project: Path) -> str:
    head = git(project, "rev-parse", "HEAD")
    return f"{head[:2]}/{head[2:]}"
