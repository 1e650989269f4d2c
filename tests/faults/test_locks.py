"""Locks of Git that a real process holds: nobody hangs, who holds them is named, and all goes on when they are free."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.daemons import DEADLINE_SECONDS, RunningDaemon
from helpers.repositories import git
from helpers.waiting import eventually

HOLD = "import sys; lock = open(sys.argv[1], 'x'); print('held', flush=True); sys.stdin.read()"


@contextmanager
def held(lock: Path) -> Iterator[int]:
    """Have another process make a lock file and keep it open for as long as the block; gives its pid."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    try:
        yield holder.pid
    finally:
        lock.unlink()
        holder.communicate(timeout=DEADLINE_SECONDS)


@pytest.mark.parametrize("lock", ["index.lock", "packed-refs.lock", "HEAD.lock", "refs/heads/main.lock"])
def test_locks_of_the_user_hold_up_no_experiment(daemon: RunningDaemon, repository: Path, lock: str) -> None:
    """Whatever the user's Git holds, an experiment is captured, run and filed: none of these is needed."""
    with held(repository / ".git" / lock):
        daemon.expctl(repository, "submit", "-n", "one")
        daemon.expctl(repository, "wait", "one")

    assert git(repository, "for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps") == "one"


def test_a_result_whose_ref_is_locked_says_by_whom(daemon: RunningDaemon, repository: Path) -> None:
    """The entry is collecting and names file and process; it is done as soon as the lock is gone, and nothing ran again."""
    baseline = git(repository, "rev-parse", "HEAD")
    lock = repository / ".git" / "refs" / "exps" / baseline[:2] / baseline[2:] / "one.lock"
    with held(lock) as pid:
        daemon.expctl(repository, "submit", "-n", "one")
        eventually(
            lambda: f"process {pid}" in str(daemon.entries(repository)[0]["waits_for"]), "the entry names the process"
        )
        waiting = daemon.entries(repository)[0]

    daemon.expctl(repository, "wait", "one")
    assert waiting["state"] == "collecting"
    assert str(lock) in str(waiting["waits_for"])
    assert daemon.entries(repository)[0]["attempt"] == 1


def test_a_restore_beside_a_git_command_is_refused_by_name(daemon: RunningDaemon, repository: Path) -> None:
    """What would write the index while another Git does is refused at once, with the file and the process; nothing changes."""
    (repository / "params.yaml").write_text("train: {lr: 0.5}\n")
    daemon.expctl(repository, "submit", "--hold", "-n", "one")
    git(repository, "checkout", "--quiet", "params.yaml")

    with held(repository / ".git" / "index.lock") as pid:
        refused = daemon.run_expctl(repository, "restore", "one", "--json")

    error = json.loads(refused.stdout)["error"]
    assert error["code"] == "ref_locked"
    assert "index.lock" in error["message"]
    assert str(pid) in f"{error['message']} {error['hint']}"
    assert git(repository, "status", "--porcelain") == ""
    daemon.expctl(repository, "restore", "one")
