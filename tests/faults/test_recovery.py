"""Whatever was done to refs, objects and files while no daemon ran: at its start the next one makes all agree again."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.daemons import Json, RunningDaemon
from helpers.repositories import a_repository, git
from helpers.waiting import eventually

HELD = "refs/expd/entries"
LONG_AGO = time.time() - 10 * 86400


def _held(repository: Path) -> dict[str, str]:
    lines = git(repository, "for-each-ref", "--format=%(refname) %(objectname)", HELD).splitlines()
    return {line.split(" ")[0]: line.split(" ")[1] for line in lines}


def _entry(daemon: RunningDaemon, repository: Path, name: str) -> Json:
    (entry,) = daemon.entries(repository, name)
    return entry


def _delete(ref: Path) -> None:
    ref.unlink()


def _empty(ref: Path) -> None:
    ref.write_bytes(b"")


def _move(ref: Path) -> None:
    head = git(ref.parents[5], "rev-parse", "HEAD")
    ref.write_text(f"{head}\n")


@pytest.mark.parametrize("harm", [_delete, _empty, _move])
def test_a_ref_is_set_again_while_what_it_held_is_there(
    daemon: RunningDaemon, repository: Path, harm: Callable[[Path], None]
) -> None:
    """Deleted, emptied by a power cut or moved elsewhere: each point is held again, outlives a collection, and runs."""
    daemon.expctl(repository, "submit", "--hold", "-n", "both", "-S", "train.lr=0.2,0.3")
    daemon.kill()
    (ref,) = [path for path in (repository / ".git" / HELD).rglob("*") if path.is_file()]
    harm(ref)

    daemon.restart()
    stashes = {str(entry["stash_rev"]) for entry in daemon.entries(repository)}
    eventually(
        lambda: ref.exists() and ref.read_text().strip() and stashes <= set(git(repository, "show", "-s", "--format=%P", next(iter(_held(repository).values()))).split()),
        "the ref holds both points",
    )  # fmt: skip
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "--quiet", "--prune=now")
    daemon.expctl(repository, "release", "both")

    daemon.expctl(repository, "wait", "--all")


def test_a_ref_that_a_killed_edit_has_widened_holds_what_there_is(daemon: RunningDaemon, repository: Path) -> None:
    """What the edit was about to make is let go of; a point of the sweep that is done already stays held."""
    daemon.expctl(repository, "submit", "--hold", "-n", "s", "-S", "train.lr=0.2,0.3")
    daemon.expctl(repository, "release", "s-1")
    daemon.expctl(repository, "wait", "s-1")
    daemon.kill()
    ((ref, keeper),) = _held(repository).items()
    stashes = git(repository, "show", "-s", "--format=%P", keeper).split()
    parents = [word for rev in (*stashes, "HEAD") for word in ("-p", rev)]
    message = "expd: keeps both what is and what is to be: 3 stash commits"
    git(repository, "update-ref", ref, git(repository, "commit-tree", f"{keeper}^{{tree}}", *parents, "-m", message))

    daemon.restart()

    eventually(
        lambda: git(repository, "show", "-s", "--format=%P", _held(repository)[ref]).split() == stashes,
        "the ref holds both points, and nothing else",
    )


def test_what_waits_for_a_snapshot_that_is_gone_ends_and_others_run(daemon: RunningDaemon, repository: Path) -> None:
    """The entry says that its snapshot is gone; another one of the same repository runs."""
    daemon.expctl(repository, "submit", "--hold", "-n", "gone", "--", "true")
    daemon.expctl(repository, "submit", "--hold", "-n", "there", "-S", "train.lr=0.5")
    daemon.kill()
    stash = str(_held_by(daemon, repository, "gone"))
    for ref, rev in _held(repository).items():
        if rev == stash:
            git(repository, "update-ref", "-d", ref)
    _object(repository, stash).unlink()

    daemon.restart()
    eventually(lambda: _entry(daemon, repository, "gone")["state"] == "done", "the entry has ended")
    daemon.expctl(repository, "release", "there")
    daemon.expctl(repository, "wait", "there")

    gone = _entry(daemon, repository, "gone")
    assert gone["outcome"] == "refused"
    assert "snapshot gone" in daemon.expctl(repository, "why", "gone")
    assert _entry(daemon, repository, "there")["outcome"] == "succeeded"


def _held_by(daemon: RunningDaemon, repository: Path, name: str) -> str:
    daemon.restart()
    stash = _entry(daemon, repository, name)["stash_rev"]
    daemon.kill()
    return str(stash)


def _object(repository: Path, rev: str) -> Path:
    return repository / ".git" / "objects" / rev[:2] / rev[2:]


def test_what_waits_for_a_repository_that_is_away_is_held(
    daemon: RunningDaemon, repository: Path, tmp_path: Path
) -> None:
    """Its disk not mounted, say: the entry waits for its release, one of another repository runs, and nothing is lost."""
    other = a_repository(tmp_path / "other")
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-n", "away", "--", "true")
    daemon.expctl(other, "submit", "-n", "here", "--", "true")
    daemon.kill()
    repository.rename(tmp_path / "elsewhere")

    daemon.restart()
    eventually(lambda: _entry(daemon, other, "away")["state"] == "held", "the entry is held")
    daemon.expctl(other, "resume")
    daemon.expctl(other, "wait", "here")
    (tmp_path / "elsewhere").rename(repository)
    daemon.expctl(repository, "release", "away")
    daemon.expctl(repository, "wait", "away")

    assert _entry(daemon, other, "here")["outcome"] == "succeeded"
    assert _entry(daemon, repository, "away")["outcome"] == "succeeded"


def test_what_killed_processes_left_is_swept(daemon: RunningDaemon, repository: Path) -> None:
    """Half-written files of dead processes, logs without a run and locks of our own refs go; what may be others' stays."""
    daemon.expctl(repository, "submit", "-n", "first", "--", "true")
    daemon.expctl(repository, "wait", "first")
    daemon.expctl(repository, "submit", "-n", "second", "--", "true")
    daemon.expctl(repository, "wait", "second")
    daemon.expctl(repository, "remove", "first")
    daemon.kill()
    runs, private = daemon.state / "runs", repository / ".git" / "expd"
    store = next((repository / ".git" / HELD).iterdir())
    ours = [runs / "1.log", runs / ".2.outcome.4194300.tmp", store / "x.lock", private / f"ref-{'a' * 16}"]
    others = [
        runs / f".2.outcome.{os.getpid()}.tmp",
        repository / ".git" / "index.lock",
        store.with_name("0123abcd.lock"),
        private / f"ref-{'b' * 16}",
    ]
    for path in (*ours, *others):
        path.touch()
    os.utime(ours[3], (LONG_AGO, LONG_AGO))
    os.utime(ours[2], (LONG_AGO, LONG_AGO))

    daemon.restart()

    eventually(lambda: not any(path.exists() for path in ours), "what is ours is gone")
    assert all(path.exists() for path in others)
    assert (runs / "2.log").exists()


def test_logs_of_a_store_that_was_moved_away_are_kept(daemon: RunningDaemon, repository: Path) -> None:
    """A new store begins with run 1 again: the log of the old one is moved aside, neither deleted nor written on."""
    daemon.expctl(repository, "submit", "-n", "old", "--", "echo", "from the old store")
    daemon.expctl(repository, "wait", "old")
    daemon.kill()
    for path in daemon.state.glob("queue.db*"):
        shutil.move(path, daemon.directory / path.name)

    daemon.restart()
    daemon.expctl(repository, "submit", "-n", "new", "--", "echo", "from the new store")
    daemon.expctl(repository, "wait", "new")

    assert (daemon.state / "runs" / "1.log").read_text() == "from the new store\n"
    assert [path.read_text() for path in daemon.state.glob("runs-*/1.log")] == ["from the old store\n"]


def test_a_store_from_its_backup_loses_nothing_that_git_has(daemon: RunningDaemon, repository: Path) -> None:
    """What waited ends with the reason and is retried in the environment of its shell; what came later keeps its commits."""
    daemon.expctl(repository, "submit", "--hold", "-n", "before", "--", "sh", "-c", 'test -n "$CANARY"')
    daemon.expctl(repository, "gc")
    daemon.expctl(repository, "submit", "-n", "after", "--", "echo", "later")
    daemon.expctl(repository, "wait", "after")
    held = _held(repository)
    daemon.kill()
    for path in daemon.state.glob("queue.db*"):
        if path.name != "queue.db.backup":
            path.unlink()
    (daemon.state / "queue.db.backup").rename(daemon.state / "queue.db")
    daemon.environ["CANARY"] = "sings"

    daemon.restart()
    eventually(lambda: _entry(daemon, repository, "before")["state"] == "done", "the entry has ended")
    reason = daemon.expctl(repository, "why", "before")
    daemon.expctl(repository, "retry", "before")
    daemon.expctl(repository, "wait", "before")

    assert "restored from a backup" in reason
    assert len(held) == 2
    assert _held(repository) == held
    assert "after" in git(repository, "for-each-ref", "refs/exps")
    assert [path.read_text() for path in daemon.state.glob("runs-*/1.log")] == ["later\n"]
