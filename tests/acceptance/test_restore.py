"""Restore from the shell: after a run, after more work, in another work tree, and the refusals."""

import os
import subprocess
from pathlib import Path

from helpers.daemons import BIN, RunningDaemon
from helpers.repositories import git, write_files


def test_restore_brings_back_the_workspace_without_the_overrides(daemon: RunningDaemon, repository: Path) -> None:
    """Staged and unstaged edits of the moment of submission are there again; the parameter is the user's own."""
    write_files(repository, {"train.sh": "echo staged\n"})
    git(repository, "add", "train.sh")
    write_files(repository, {"train.sh": "echo captured\n", "notes.txt": "new\n"})
    (repository / ".dvc/.gitignore").unlink()
    submitted = git(repository, "status", "--porcelain"), git(repository, "ls-files", "-s")
    params = (repository / "params.yaml").read_text()
    daemon.expctl(repository, "submit", "-S", "train.lr=0.5,0.6", "-n", "tuned", "--", "true")
    git(repository, "reset", "--quiet", "--hard")
    write_files(repository, {"train.sh": "echo newer\n"})

    refused = daemon.run_expctl(repository, "restore", "tuned")
    document = daemon.expctl_json(repository, "restore", "tuned-2", "--force")

    assert (refused.returncode, b"train.sh" in refused.stderr) == (5, True)
    assert (git(repository, "status", "--porcelain"), git(repository, "ls-files", "-s")) == submitted
    assert (repository / "train.sh").read_text() == "echo captured\n"
    assert (repository / "params.yaml").read_text() == params
    assert git(repository, "show", f"{document['kept_rev']}:train.sh") == "echo newer"


def test_restore_writes_the_work_tree_one_is_in(daemon: RunningDaemon, repository: Path) -> None:
    """In another work tree of the repository that one is written, and it is said which one was captured."""
    write_files(repository, {"train.sh": "echo captured\n"})
    daemon.expctl(repository, "submit", "-n", "x", "--", "true")
    other = repository.parent / "other"
    git(repository, "worktree", "add", "--quiet", str(other))

    result = daemon.run_expctl(other / ".dvc", "restore", "x")

    assert result.returncode == 0
    assert (other / "train.sh").read_text() == "echo captured\n"
    assert f"that is {repository}".encode() in result.stderr


def test_a_work_tree_of_another_repository_is_not_written(daemon: RunningDaemon, repository: Path) -> None:
    """A clone has other objects and other work in it: it is named, and nothing is done."""
    daemon.expctl(repository, "submit", "-n", "x", "--", "true")
    git(repository.parent, "clone", "--quiet", str(repository), "clone")

    result = daemon.run_expctl(repository.parent / "clone", "restore", "1")

    assert result.returncode == 2
    assert str(repository).encode() in result.stderr


def test_what_is_no_capture_is_refused(daemon: RunningDaemon, repository: Path) -> None:
    """A commit of the project is no stash commit, and what nobody knows is said to be unknown."""
    codes = [daemon.run_expctl(repository, "restore", what).returncode for what in ("HEAD", "nobody")]

    assert codes == [6, 4]


def test_a_workspace_with_a_run_in_it_is_not_written(daemon: RunningDaemon, repository: Path) -> None:
    """While `expctl run` has the workspace for itself, nothing is restored under its feet."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    daemon.expctl(repository, "submit", "-n", "x", "--", "true")
    script = f"echo started > '{gate}'; cat '{gate}'"
    with subprocess.Popen(
        [BIN / "expctl", "run", "--", "sh", "-c", script], cwd=repository, env=daemon.environ, stderr=subprocess.PIPE
    ) as running:
        gate.read_text()
        refused = daemon.run_expctl(repository, "restore", "x")
        gate.write_text("go on\n")
        running.communicate()
    allowed = daemon.run_expctl(repository, "restore", "x")

    assert (refused.returncode, b"runs in" in refused.stderr) == (5, True)
    assert (running.returncode, allowed.returncode) == (0, 0)


def test_what_a_run_in_the_workspace_left_is_no_edit(daemon: RunningDaemon, repository: Path) -> None:
    """After `expctl run -S` the parameter and the metrics it left are kept by its experiment: no force is needed."""
    write_files(repository, {"metrics.json": "{}\n"})
    daemon.expctl(repository, "run", "-S", "train.lr=0.7", "-n", "x")
    left = (repository / "params.yaml").read_text(), (repository / "metrics.json").read_text()

    daemon.expctl(repository, "restore", "x")

    assert left[1] == '{"acc": 0.7}\n'
    assert "0.7" not in (repository / "params.yaml").read_text()
    assert (repository / "metrics.json").read_text() == "{}\n"
