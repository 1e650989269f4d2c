"""`expctl resume ID`: a run that did not succeed goes on in what it left, as another attempt at the same entry."""

import os
from pathlib import Path

import psutil
import pytest

from expd.execute.kept import set_apart
from expproto.vocabulary import RunId
from helpers.daemons import Json, RunningDaemon, a_daemon, rows
from helpers.repositories import git, write_files
from helpers.waiting import eventually

TRAIN = """\
import os, pathlib, sys
done = pathlib.Path("model.txt")
resumes = [os.environ.get(name) for name in ("EXPD_RESUME", "DVCLIVE_RESUME")]
epochs = done.read_text().split() if done.exists() else []
print("begins at", len(epochs), resumes, flush=True)
for epoch in range(len(epochs), 5):
    epochs.append(str(epoch))
    done.write_text(" ".join(epochs))
    if epoch == 2 and not resumes[0]:
        with open(sys.argv[1], "w") as gate:
            gate.write("waiting")
        with open(sys.argv[1]) as gate:
            gate.read()
        sys.exit(1)
"""


@pytest.fixture
def gate(repository: Path) -> Path:
    """Give a pipe that a run and its test meet at."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    return gate


@pytest.fixture
def project(repository: Path, gate: Path) -> Path:
    """Give a project whose second stage keeps a checkpoint and is stopped after three of five epochs."""
    count = repository.parent / "prepared"
    pipeline = f"""\
stages:
  prepare:
    cmd: echo x >> '{count}' && echo data > data.txt
    outs: [data.txt]
  train:
    cmd: python train.py '{gate}'
    deps: [data.txt, train.py]
    outs: [model.txt]
"""
    write_files(repository, {"dvc.yaml": pipeline, "train.py": TRAIN})
    (repository / "dvc.lock").unlink(missing_ok=True)
    git(repository, "add", ".")
    git(repository, "commit", "-m", "A pipeline with a checkpoint")
    return repository


def _entry(daemon: RunningDaemon, repository: Path, name: str) -> Json:
    (entry,) = daemon.entries(repository, name)
    return entry


def _log(daemon: RunningDaemon, repository: Path, name: str) -> str:
    return daemon.run_expctl(repository, "follow", "--raw", name).stdout.decode()


def _end(daemon: RunningDaemon, project: Path, gate: Path, how: str) -> None:
    """End the run of the project, which waits at the gate."""
    worker = psutil.Process(daemon.process.pid).children()[0]
    match how:
        case "failed":
            gate.write_text("go on")
        case "cancelled":
            daemon.expctl(project, "cancel", "x")
        case "killed":
            (training,) = (
                process for process in worker.children(recursive=True) if process.cmdline()[1:2] == ["train.py"]
            )
            training.kill()
        case _:
            worker.kill()


@pytest.mark.parametrize("end", ["failed", "cancelled", "killed", "lost"])
def test_a_training_goes_on_from_its_checkpoint(daemon: RunningDaemon, project: Path, gate: Path, end: str) -> None:
    """However it ended: the stage that was done is not run again, the checkpoint is there, and the result is one experiment."""
    daemon.expctl(project, "submit", "-n", "x", "--force", "--retry-on", "none")
    gate.read_text()
    _end(daemon, project, gate, end)
    daemon.run_expctl(project, "wait", "x")
    ended = _entry(daemon, project, "x")

    (resumed,) = rows(daemon.expctl_json(project, "resume", "x"), "entries")
    code = daemon.run_expctl(project, "wait", "x").returncode

    entry = _entry(daemon, project, "x")
    assert (resumed["id"], resumed["attempt"]) == (ended["id"], 2)
    assert (code, entry["attempt"], entry["outcome"]) == (0, 2, "succeeded")
    assert _log(daemon, project, "x").startswith("begins at 3 ['1', '1']\n")
    assert (project.parent / "prepared").read_text() == "x\n"
    assert git(project, "for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps") == "x"
    assert daemon.expctl(project, "get", "x", "model.txt", "-o", "../got").strip().endswith("model.txt")
    assert (project.parent / "got" / "model.txt").read_text() == "0 1 2 3 4"


def test_what_was_changed_since_is_refused(daemon: RunningDaemon, project: Path, gate: Path) -> None:
    """It is named, and nothing is queued; by force the run goes on with the change."""
    daemon.expctl(project, "submit", "-n", "x")
    gate.read_text()
    gate.write_text("go on")
    daemon.run_expctl(project, "wait", "x")
    kept = Path(str(daemon.expctl_json(project, "why", "x")["kept"]))
    (kept / "model.txt").write_text("0 1 2 3")

    refused = daemon.run_expctl(project, "resume", "x")
    before = _entry(daemon, project, "x")
    daemon.expctl(project, "resume", "--force", "x")
    daemon.expctl(project, "wait", "x")

    assert (refused.returncode, b"model.txt" in refused.stderr, b"--force" in refused.stderr) == (5, True, True)
    assert (before["state"], before["attempt"]) == ("done", 1)
    assert _log(daemon, project, "x").startswith("begins at 4 ")


def test_where_nothing_is_kept_there_is_nothing_to_go_on_with(repository: Path) -> None:
    """A run whose worktree had to make room is refused, with what can be done instead; so is one that succeeded."""
    with a_daemon(config="kept_worktrees_max = 0\ngrace_seconds = 1.0\n") as daemon:
        daemon.expctl(repository, "submit", "-n", "bad", "--", "false")
        daemon.expctl(repository, "submit", "-n", "good", "--", "true")
        daemon.run_expctl(repository, "run", "-n", "here", "--", "false")
        daemon.run_expctl(repository, "wait")

        results = [daemon.run_expctl(repository, "resume", name) for name in ("bad", "good", "here")]

    assert [result.returncode for result in results] == [5, 5, 5]
    assert b"nothing that a run of it left is kept" in results[0].stderr
    assert b"expctl retry 1" in results[0].stderr
    assert b"it succeeded" in results[1].stderr
    assert b"it ran in the workspace" in results[2].stderr


def test_a_plain_command_finds_everything_it_left(daemon: RunningDaemon, repository: Path) -> None:
    """Also what Git ignores, and what it had removed; what was cancelled while it waited to go on still can."""
    write_files(repository, {".gitignore": "*.tmp\n", "gone.txt": "x\n"})
    script = 'rm -f gone.txt; echo half >> state.tmp; [ -n "$EXPD_RESUME" ] && cp state.tmp result.txt'
    daemon.expctl(repository, "submit", "-n", "x", "--", "sh", "-c", script)
    daemon.run_expctl(repository, "wait", "x")
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "resume", "x")
    daemon.expctl(repository, "cancel", "x")
    daemon.expctl(repository, "resume", "x")
    daemon.expctl(repository, "resume")
    daemon.expctl(repository, "wait", "x")

    entry = _entry(daemon, repository, "x")
    files = git(repository, "ls-tree", "--name-only", str(entry["experiment_rev"])).split()
    assert (entry["attempt"], "gone.txt" in files) == (3, False)
    assert git(repository, "show", f"{entry['experiment_rev']}:result.txt") == "half\nhalf"


def test_what_is_not_gone_on_with_is_kept_like_the_rest(daemon: RunningDaemon, repository: Path) -> None:
    """Given back when the waiting attempt is cancelled, and at a start that finds it set apart for nobody."""
    daemon.expctl(repository, "submit", "-n", "x", "--", "sh", "-c", "echo half > made.txt; exit 1")
    daemon.run_expctl(repository, "wait", "x")
    daemon.expctl(repository, "pause")
    private = repository / ".git" / "expd"

    daemon.expctl(repository, "resume", "x")
    waiting = _set_apart_and_kept(private)
    daemon.expctl(repository, "cancel", "x")
    cancelled = _set_apart_and_kept(private)
    daemon.kill()
    set_apart(repository / ".git", RunId(1))
    daemon.restart()
    eventually(lambda: _set_apart_and_kept(private) == cancelled, "it is given back")

    assert (waiting, cancelled) == ((["1"], []), ([], ["1"]))
    assert (private / "kept" / "1" / "made.txt").read_text() == "half\n"


def _set_apart_and_kept(private: Path) -> tuple[list[str], list[str]]:
    """List the worktrees of runs that are set apart, and those that are kept for a look."""
    apart, kept = (
        [path.name for path in (private / name).glob("*") if path.name.isdigit()] for name in ("resuming", "kept")
    )
    return apart, kept


def test_a_hold_after_losses_can_be_gone_on_with(daemon: RunningDaemon, repository: Path, gate: Path) -> None:
    """Instead of a release, which starts from the beginning."""
    script = f"echo x >> made.txt; [ -n \"$EXPD_RESUME\" ] || {{ echo go > '{gate}'; cat '{gate}'; }}"
    daemon.expctl(repository, "submit", "-n", "x", "--", "sh", "-c", script)
    for _loss in range(3):
        gate.read_text()
        psutil.Process(daemon.process.pid).children()[0].kill()
    daemon.expctl(repository, "submit", "-n", "next", "--", "true")
    daemon.expctl(repository, "wait", "next")

    daemon.expctl(repository, "resume", "x")
    code = daemon.run_expctl(repository, "wait", "x").returncode

    entry = _entry(daemon, repository, "x")
    assert (code, entry["attempt"]) == (0, 4)
    assert git(repository, "show", f"{entry['experiment_rev']}:made.txt") == "x\nx"
