"""`expctl run` leaves in a workspace what `dvc exp run` leaves there: files, modes, lock, cache; after success and failure."""

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon, a_daemon
from helpers.repositories import a_repository, git, write_files
from interop.test_pipeline_repro import ask_dvc

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
    "names.txt": "sub/other.txt apart/alone.txt odd!.txt fresh.txt\n",
    "apart/.gitignore": "",
}

NEW_OUTPUTS = {
    "dvc.yaml": PROJECT["dvc.yaml"]
    .replace("sub/new.txt", "sub/other.txt, apart/alone.txt, 'odd!.txt', fresh.txt")
    .replace("outs: [model.bin]", "outs: [model.bin, early.txt, never.txt]"),
    "prepare.sh": PROJECT["prepare.sh"] + "mkdir -p apart\nfor out in $(cat names.txt); do echo made > $out; done\n",
    "train.sh": PROJECT["train.sh"] + "echo early > early.txt\n",
    ".gitignore": "/prepared\r\n/model.bin\n/report.txt\n/raw.txt\n\n/fresh.txt\n!fresh.txt",
}
"""The first stage makes outputs that Git does not ignore yet, in every kind of .gitignore; the second lacks its last one."""
FAILING = {"report.sh": "exit 3\n"}


@dataclass(frozen=True)
class Case:
    """Edits of the project, and the arguments of `dvc exp run` and `expctl run` after them."""

    name: str
    edits: dict[str, str]
    arguments: tuple[str, ...] = ()


CASES = (
    Case("param", {}, ("-S", "lr=0.5")),
    Case("code", {"train.sh": PROJECT["train.sh"] + "# edited\n"}, ("-S", "lr=0.5")),
    Case("data", {"raw.txt": "d\nc\n"}),
    Case("output-spoiled", {"model.bin": "spoiled\n"}),
    Case("last-fails", {"report.sh": "echo half > report.txt; exit 3\n"}, ("-S", "lr=0.5")),
    Case("second-fails", {"train.sh": "echo half > model.bin; exit 3\n"}, ("-S", "lr=0.5")),
    Case("output-never-made", {"dvc.yaml": PROJECT["dvc.yaml"].replace("sub/new.txt", "sub/other.txt")}),
    Case("fails-forced", {"prepare.sh": PROJECT["prepare.sh"] + "exit 4\n"}, ("--force",)),
    Case("new-outputs", NEW_OUTPUTS),
    Case("new-outputs-then-failure", NEW_OUTPUTS | FAILING),
    Case("new-outputs-then-failure-kept-going", NEW_OUTPUTS | FAILING, ("--keep-going",)),
    Case("new-outputs-then-failure-ignored", NEW_OUTPUTS | FAILING, ("--ignore-errors",)),
)


@dataclass(frozen=True)
class Sides:
    """For each case a project in which DVC has run it, one as it was before, and how DVC ended."""

    theirs: dict[str, Path]
    ours: dict[str, Path]
    codes: dict[str, int]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    """Give both sides of each case; one process of DVC runs all of them."""
    base = tmp_path_factory.mktemp("in-place")
    start = _a_project(base / "start", base)
    sides = [{case.name: base / side / case.name for case in CASES} for side in ("theirs", "ours")]
    for projects in sides:
        for case in CASES:
            shutil.copytree(start, projects[case.name], symlinks=True)
            write_files(projects[case.name], case.edits)
    theirs, ours = sides
    words = {case.name: ["exp", "run", "-n", "tried", *case.arguments] for case in CASES}
    steps: list[dict[str, object]] = [
        {"directory": str(theirs[name]), "write": {}, "argv": argv} for name, argv in words.items()
    ]
    answers = ask_dvc(steps, base)
    return Sides(theirs, ours, {name: code for name, (code, _said) in zip(words, answers, strict=True)})


@pytest.fixture(scope="module")
def daemon() -> Iterator[RunningDaemon]:
    """Give one daemon for all cases: each is a repository of its own."""
    with a_daemon() as running:
        yield running


def _a_project(path: Path, base: Path) -> Path:
    """Make a DVC project in which everything has been run once, with a data source that DVC tracks."""
    project = a_repository(path, PROJECT)
    git(project, "rm", "--quiet", "--cached", "raw.txt")
    words = (["init", "--quiet"], ["add", "--quiet", "raw.txt"], ["repro", "--quiet"])
    answers = ask_dvc([{"directory": str(project), "write": {}, "argv": argv} for argv in words], base)
    assert [code for code, _said in answers] == [0, 0, 0], answers
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "run once")
    return project


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


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_workspace_afterwards_is_as_dvc_leaves_it(sides: Sides, daemon: RunningDaemon, case: Case) -> None:
    """From the same start, both leave the same files, modes, dvc.lock, .gitignore and cache, whether it succeeds or not."""
    theirs, ours, code = sides.theirs[case.name], sides.ours[case.name], sides.codes[case.name]

    ran = daemon.run_expctl(ours, "run", "-n", "tried", *case.arguments)

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
