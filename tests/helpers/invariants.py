"""What must hold whatever died and whenever, looked at from outside: the client's answers, the store's file, Git."""

import os
import sqlite3
import subprocess
from collections.abc import Collection
from pathlib import Path

from helpers.daemons import RunningDaemon
from helpers.repositories import GIT_ENVIRONMENT, git

HELD = "refs/expd/entries"
LOOKS_MAX = 5


def check_all(daemon: RunningDaemon, repository: Path, acknowledged: Collection[str]) -> None:
    """Everything that was acknowledged is there, by name; rows, refs and files are whole and agree; the daemon answers."""
    names = [str(entry["name"]) for entry in daemon.entries(repository)]
    assert set(acknowledged) <= set(names), (
        f"acknowledged and lost: {set(acknowledged) - set(names)}\n{daemon.journal()}"
    )
    assert len(names) == len(set(names)), f"queued twice: {names}"
    check_store(daemon.state / "queue.db")
    check_repository(repository, held_by(daemon.state / "queue.db"))


def check_store(path: Path) -> None:
    """The file is whole, and an entry has a run under way if and only if it is active; what is done has its outcome."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        active = "SELECT id FROM entries WHERE state IN ('preparing', 'running', 'collecting') ORDER BY id"
        under_way = "SELECT entry FROM runs WHERE ended_at IS NULL ORDER BY entry"
        assert connection.execute(active).fetchall() == connection.execute(under_way).fetchall()
    finally:
        connection.close()


def held_by(path: Path) -> dict[str, list[str]]:
    """Read which refs the store's submissions hold, and the stash commits each of them stands for."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        sql = "SELECT held_as, stash_rev FROM submissions JOIN entries ON entries.submission = submissions.id"
        held: dict[str, list[str]] = {}
        for held_as, stash_rev in connection.execute(sql):
            held.setdefault(f"{HELD}/{held_as}", []).append(stash_rev)
    finally:
        connection.close()
    return held


def check_objects(repository: Path) -> None:
    """Git finds nothing missing or damaged.

    Objects first and logs of refs later: what is written between the two looks is to `git fsck` an invalid entry of a log,
    also where `git notes` itself writes. Damage stays: only what every look finds is some.
    """
    standing, looks = _complaints(repository), 1
    while standing and looks < LOOKS_MAX:
        standing &= _complaints(repository)
        looks += 1
    assert standing == set()


def _complaints(repository: Path) -> set[str]:
    """Give the lines of what is said, and the exit code if it is one of failure and nothing was said."""
    command = ["git", "fsck", "--full", "--no-dangling"]
    environ = {**os.environ, **GIT_ENVIRONMENT}
    looked = subprocess.run(command, check=False, cwd=repository, env=environ, capture_output=True, text=True)
    said = set((looked.stdout + looked.stderr).splitlines())
    return said or ({f"it ended with {looked.returncode}"} if looked.returncode else set())


def check_repository(repository: Path, held: dict[str, list[str]]) -> None:
    """Nothing of the repository is damaged, and what a row stands for is held by its ref."""
    check_objects(repository)
    for ref, revs in held.items():
        keeper = git(repository, "rev-parse", "--verify", ref)
        reachable = {keeper, *git(repository, "rev-parse", f"{ref}^@").splitlines()}
        assert set(revs) <= reachable, f"{ref} does not hold {revs}"
