"""`expctl remove`: what is done leaves the queue and takes its log, environment and captured state along; results stay."""

import sqlite3
from pathlib import Path

from helpers.daemons import RunningDaemon
from helpers.repositories import git, write_files


def _held_refs(repository: Path) -> list[str]:
    return git(repository, "for-each-ref", "--format=%(refname)", "refs/expd/entries").splitlines()


def test_what_is_removed_leaves_nothing_but_its_experiment(daemon: RunningDaemon, repository: Path) -> None:
    """Row, log, ref, kept worktree and environment are gone; the experiment is a ref of DVC's as before."""
    daemon.expctl(repository, "submit", "--env", "TOKEN=canary", "-n", "bad", "--", "false")
    daemon.expctl(repository, "submit", "-n", "good", "--", "echo", "good")
    daemon.run_expctl(repository, "wait", "--all")
    runs, kept = daemon.state / "runs", repository / ".git" / "expd" / "kept"
    before = ([path.name for path in runs.iterdir()], list(kept.iterdir()), _held_refs(repository))

    daemon.expctl(repository, "remove", "bad", "good")

    assert all(before)
    assert daemon.entries(repository) == []
    assert (list(runs.iterdir()), list(kept.iterdir()), _held_refs(repository)) == ([], [], [])
    assert "good" in git(repository, "for-each-ref", "refs/exps")
    connection = sqlite3.connect(daemon.state / "queue.db")
    for table in ("submissions", "environments", "entries", "runs", "transitions"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    connection.close()


def test_a_sweep_is_held_until_its_last_entry_is_removed(daemon: RunningDaemon, repository: Path) -> None:
    """Entries of one submission share a ref, which goes with the last of them; a retry of the rest works until then."""
    write_files(repository, {"train.sh": "exit 3\n"})
    daemon.expctl(repository, "submit", "-S", "train.lr=0.1,0.2", "-n", "both")
    daemon.run_expctl(repository, "wait", "--all")

    daemon.expctl(repository, "remove", "both-1")
    held = _held_refs(repository)
    daemon.expctl(repository, "retry", "both-2")
    daemon.run_expctl(repository, "wait", "--all")
    daemon.expctl(repository, "remove", "--done")

    assert len(held) == 1
    assert _held_refs(repository) == []
    assert daemon.entries(repository) == []


def test_what_has_not_ended_is_not_removed(daemon: RunningDaemon, repository: Path) -> None:
    """One that waits is refused by name, and with it all that were named."""
    daemon.expctl(repository, "submit", "-n", "done", "--", "true")
    daemon.expctl(repository, "wait", "done")
    daemon.expctl(repository, "submit", "--hold", "-n", "held", "--", "true")

    refused = daemon.run_expctl(repository, "remove", "done", "held")

    assert refused.returncode == 5
    assert b"expctl cancel" in refused.stderr
    assert [entry["name"] for entry in daemon.entries(repository)] == ["done", "held"]
