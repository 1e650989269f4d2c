"""`expctl run`: in the workspace and in a private worktree, now, watched; and everything that waits, at once."""

import os
import signal
from pathlib import Path

import pytest

from helpers.daemons import DEADLINE_SECONDS, RunningDaemon
from helpers.repositories import git, write_files


def _gate(repository: Path) -> Path:
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    return gate


def _wait_at(gate: Path) -> None:
    with gate.open("rb") as reading:
        reading.readline()


def test_a_run_in_the_workspace_leaves_its_results_there(daemon: RunningDaemon, repository: Path) -> None:
    """The override and what the stages made stay in the workspace, and the same is an experiment."""
    ran = daemon.run_expctl(repository, "run", "-S", "train.lr=0.5", "-n", "here")

    assert ran.returncode == 0, ran.stderr.decode()
    assert b"training with 0.5\n" in ran.stdout
    assert "lr: 0.5   # learning rate" in (repository / "params.yaml").read_text()
    assert (repository / "metrics.json").read_text() == '{"acc": 0.5}\n'
    assert (repository / "model.bin").read_text() == "weights 0.5\n"
    rev = str(daemon.entries(repository, "here")[0]["experiment_rev"])
    for path in git(repository, "ls-tree", "-r", "--name-only", rev).splitlines():
        assert git(repository, "show", f"{rev}:{path}") == (repository / path).read_text().rstrip("\n"), path


def test_a_run_in_the_workspace_keeps_branch_and_staging_area(daemon: RunningDaemon, repository: Path) -> None:
    """HEAD stays on its branch, what was staged stays staged as it was, and nothing else gets staged."""
    write_files(repository, {"notes.txt": "staged\n"})
    git(repository, "add", "notes.txt")
    write_files(
        repository, {"notes.txt": "staged\nand edited\n", "train.sh": (repository / "train.sh").read_text() + "#\n"}
    )
    staged, index = git(repository, "ls-files", "--stage"), (repository / ".git" / "index").read_bytes()
    head, reflog = (repository / ".git" / "HEAD").read_bytes(), git(repository, "reflog")

    daemon.expctl(repository, "run", "-S", "train.lr=0.5", "-n", "here")

    assert git(repository, "ls-files", "--stage") == staged
    assert (repository / ".git" / "index").read_bytes() == index
    assert ((repository / ".git" / "HEAD").read_bytes(), git(repository, "reflog")) == (head, reflog)
    assert (repository / "notes.txt").read_text() == "staged\nand edited\n"
    rev = str(daemon.entries(repository, "here")[0]["experiment_rev"])
    assert git(repository, "show", f"{rev}:notes.txt") == "staged\nand edited"


def test_a_second_run_in_a_workspace_is_refused_and_names_the_first(daemon: RunningDaemon, repository: Path) -> None:
    """Two runs can't have one workspace; the refusal says who has it, and what works beside it."""
    gate = _gate(repository)
    first = daemon.start_expctl(repository, "run", "-n", "first", "--", "sh", "-c", f"echo > '{gate}'; cat '{gate}'")
    _wait_at(gate)

    second = daemon.run_expctl(repository, "run", "-n", "second", "--", "true")
    beside = daemon.run_expctl(repository, "run", "--temp", "-n", "third", "--", "echo", "beside")

    gate.write_text("end\n")
    first.communicate(timeout=DEADLINE_SECONDS)
    assert second.returncode != 0
    assert b"first (entry 1)" in second.stderr
    assert (beside.returncode, beside.stdout) == (0, b"beside\n")
    assert first.returncode == 0


def test_a_run_asks_at_the_first_interrupt_and_cancels_at_the_second(daemon: RunningDaemon, repository: Path) -> None:
    """After one Ctrl-C the run goes on and its output is shown; the second ends it, and the exit code says so."""
    gate = _gate(repository)
    running = daemon.start_expctl(
        repository, "run", "--", "sh", "-c", f"echo one; echo > '{gate}'; cat '{gate}'; exec sleep 600"
    )
    _wait_at(gate)
    assert running.stderr is not None
    running.stderr.readline()
    running.send_signal(signal.SIGINT)
    asked = running.stderr.readline()
    gate.write_text("two\n")
    state = daemon.entries(repository)[0]["state"]
    running.send_signal(signal.SIGINT)

    output, _errors = running.communicate(timeout=DEADLINE_SECONDS)

    assert b"once more cancels" in asked
    assert state == "running"
    assert output.startswith(b"one\ntwo\n")
    assert daemon.entries(repository)[0]["outcome"] == "cancelled"
    assert running.returncode == daemon.entries(repository)[0]["exit_code"]


@pytest.mark.parametrize("place", [[], ["--temp"]])
def test_a_sweep_outside_the_queue_is_refused(daemon: RunningDaemon, repository: Path, place: list[str]) -> None:
    """Each point of a sweep needs a place of its own, so that only the queue takes one."""
    refused = daemon.run_expctl(repository, "run", *place, "-S", "train.lr=0.1,0.2")

    assert refused.returncode == 2
    assert b"expctl submit" in refused.stderr
    assert daemon.entries(repository) == []


def test_a_run_in_a_private_worktree_is_watched_and_touches_nothing(daemon: RunningDaemon, repository: Path) -> None:
    """`--temp` shows the output and the outcome, and the workspace stays as it was."""
    write_files(repository, {"train.sh": (repository / "train.sh").read_text() + "# edited\n"})
    before = git(repository, "status", "--porcelain")

    ran = daemon.run_expctl(repository, "run", "--temp", "-S", "train.lr=0.7", "-n", "apart")

    assert (ran.returncode, b"training with 0.7\n" in ran.stdout) == (0, True)
    assert git(repository, "status", "--porcelain") == before
    assert not (repository / "model.bin").exists()
    assert daemon.entries(repository, "apart")[0]["outcome"] == "succeeded"


def test_a_run_waits_for_no_slot(daemon: RunningDaemon, repository: Path) -> None:
    """Somebody sits before it: it runs beside a full pool, and while the pool is paused."""
    gate = _gate(repository)
    daemon.expctl(repository, "submit", "-n", "busy", "--", "sh", "-c", f"echo > '{gate}'; cat '{gate}'")
    _wait_at(gate)
    daemon.expctl(repository, "submit", "-n", "next", "--", "true")
    daemon.expctl(repository, "pause")

    assert daemon.expctl(repository, "run", "--temp", "--", "echo", "now") == "now\n"
    assert daemon.entries(repository, "next")[0]["state"] == "queued"
    gate.write_text("end\n")
    daemon.expctl(repository, "resume")
    daemon.expctl(repository, "wait")


def test_a_run_that_fails_passes_its_code_on_and_leaves_what_it_made(daemon: RunningDaemon, repository: Path) -> None:
    """The exit code is the command's, and the workspace is not rolled back, as with DVC."""
    ran = daemon.run_expctl(repository, "run", "-n", "bad", "--", "sh", "-c", "echo half > made.txt; exit 7")

    assert ran.returncode == 7
    assert (repository / "made.txt").read_text() == "half\n"
    assert daemon.entries(repository, "bad")[0]["outcome"] == "failed"


def test_restore_takes_back_what_a_failed_run_did(daemon: RunningDaemon, repository: Path) -> None:
    """What the run itself overwrote counts as no edit; what was edited afterwards does, and is not lost."""
    write_files(repository, {"notes.txt": "mine\n"})
    script = "echo spoiled > notes.txt; echo spoiled > train.sh; rm dvc.yaml; exit 1"
    before = git(repository, "status", "--porcelain")
    daemon.run_expctl(repository, "run", "-n", "bad", "--", "sh", "-c", script)
    write_files(repository, {"notes.txt": "edited since\n"})
    refused = daemon.run_expctl(repository, "restore", "bad")
    write_files(repository, {"notes.txt": "spoiled\n"})

    daemon.expctl(repository, "restore", "bad")

    assert refused.returncode == 5
    assert b"notes.txt" in refused.stderr
    assert b"train.sh" not in refused.stderr
    assert (repository / "notes.txt").read_text() == "mine\n"
    assert git(repository, "status", "--porcelain") == before


def test_a_command_in_the_workspace_keeps_what_was_not_captured_out_of_its_result(
    daemon: RunningDaemon, repository: Path
) -> None:
    """What was there and left out, as a file that looks like a secret, is no result of the run."""
    write_files(repository, {".env": "TOKEN=canary\n"})

    daemon.expctl(repository, "run", "-n", "plain", "--", "sh", "-c", "echo 1 > made.txt")

    rev = str(daemon.entries(repository, "plain")[0]["experiment_rev"])
    files = git(repository, "ls-tree", "-r", "--name-only", rev).splitlines()
    assert "made.txt" in files
    assert ".env" not in files


def test_run_all_runs_what_is_held_and_queued_and_tells_the_truth(daemon: RunningDaemon, repository: Path) -> None:
    """Everything of the repository runs to its end, and one that fails makes the exit code say so."""
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-S", "train.lr=0.1,0.2", "-n", "sweep")
    daemon.expctl(repository, "submit", "--hold", "-n", "held", "--", "echo", "held")
    good = daemon.run_expctl(repository, "run", "--run-all", "-j", "2")
    daemon.expctl(repository, "submit", "--hold", "-n", "bad", "--", "false")
    bad = daemon.run_expctl(repository, "run", "--run-all")
    nothing = daemon.run_expctl(repository, "run", "--run-all")

    assert (good.returncode, bad.returncode, nothing.returncode) == (0, 1, 0)
    outcomes = [entry["outcome"] for entry in daemon.entries(repository)]
    assert outcomes == ["succeeded", "succeeded", "succeeded", "failed"]


def test_a_run_in_the_workspace_survives_the_daemon(daemon: RunningDaemon, repository: Path) -> None:
    """A daemon that is killed meanwhile costs the watcher nothing: the next one adopts the run."""
    gate = _gate(repository)
    running = daemon.start_expctl(
        repository, "run", "-n", "on", "--", "sh", "-c", f"echo one; echo > '{gate}'; cat '{gate}'"
    )
    _wait_at(gate)
    daemon.kill()
    daemon.restart()
    gate.write_text("two\n")

    output, _errors = running.communicate(timeout=DEADLINE_SECONDS)

    assert (running.returncode, output) == (0, b"one\ntwo\n")
    assert daemon.entries(repository, "on")[0]["outcome"] == "succeeded"


def test_a_run_in_a_linked_worktree_stays_in_it(daemon: RunningDaemon, repository: Path) -> None:
    """A workspace that `git worktree` made is a workspace of its own, below the same repository."""
    linked = repository.parent / "linked"
    git(repository, "worktree", "add", "--quiet", "--detach", str(linked))

    daemon.expctl(linked, "run", "-S", "train.lr=0.5", "-n", "beside")

    assert (linked / "metrics.json").read_text() == '{"acc": 0.5}\n'
    assert git(repository, "status", "--porcelain") == ""
    rev = str(daemon.entries(linked, "beside")[0]["experiment_rev"])
    assert git(repository, "show", f"{rev}:metrics.json") == '{"acc": 0.5}'
