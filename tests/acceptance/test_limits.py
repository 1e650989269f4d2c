"""`submit --time-limit` and `--stall-limit`, from the shell: the outcome, and that no daemon is needed for it."""

import os
from pathlib import Path

from helpers.daemons import RunningDaemon
from helpers.waiting import eventually


def test_a_limit_holds_without_a_daemon(daemon: RunningDaemon, repository: Path) -> None:
    """With the daemon killed, the worker ends the run at its limit, and the next daemon says so; `wait` gives 124."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    daemon.expctl(
        repository, "submit", "-n", "hangs", "--time-limit", "0.5", "--", "sh", "-c", f"echo > '{gate}'; cat '{gate}'"
    )
    gate.read_text()

    daemon.kill()
    records = daemon.state / "runs"
    eventually(lambda: list(records.glob("*.outcome")), "the worker writes the outcome")
    daemon.restart()
    waited = daemon.run_expctl(repository, "wait", "hangs")

    (entry,) = daemon.entries(repository, "hangs")
    assert waited.returncode == 124
    assert entry["outcome"] == "timed_out"
    assert entry["reason"] == "timed out: command took longer than 0.5 s (--time-limit)"


def test_a_run_that_is_watched_has_limits_too(daemon: RunningDaemon, repository: Path) -> None:
    """`expctl run --temp --stall-limit` gives 124, and says what was reached."""
    never = repository.parent / "never"
    os.mkfifo(never)

    ran = daemon.run_expctl(repository, "run", "--temp", "--stall-limit", "300m", "--", "true")
    stalled = daemon.run_expctl(repository, "run", "--temp", "--stall-limit", "0.3s", "--", "cat", str(never))

    assert (ran.returncode, stalled.returncode) == (0, 124)
    assert b"did nothing for 0.3 s (--stall-limit)" in stalled.stderr


def test_a_broken_sweep_is_stopped_early(daemon: RunningDaemon, repository: Path) -> None:
    """With --max-failures 2 the third point of a sweep never runs, and says why; `wait` for the sweep returns."""
    (repository / "train.sh").write_text("exit 5\n")
    daemon.expctl(repository, "submit", "-n", "broken", "-S", "train.lr=0.1,0.2,0.3", "--max-failures", "2")

    waited = daemon.run_expctl(repository, "wait", "broken")

    assert waited.returncode == 1
    assert [(entry["outcome"], entry["reason"]) for entry in daemon.entries(repository, "broken")] == [
        ("failed", "failed: train exited with 5"),
        ("failed", "failed: train exited with 5"),
        ("cancelled", "cancelled: 2 of its sweep failed (--max-failures 2)"),
    ]
