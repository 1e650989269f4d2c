"""`expctl gc`: what the rules give up goes, with its size told; what waits, runs or is a result stays."""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.daemons import Json, RunningDaemon, a_daemon, rows
from helpers.repositories import git, write_files

OLD = time.time() - 3 * 86400
STRICT = """\
grace_seconds = 1.0
[retention]
done_max = 2
log_days = 0
kept_worktree_days = 0
restored_days = 0
environment_days = 0
"""


@pytest.fixture
def strict() -> Iterator[RunningDaemon]:
    """Give a daemon that keeps two entries, and no log, worktree or environment of what is done."""
    with a_daemon(config=STRICT) as running:
        yield running


def _collect(daemon: RunningDaemon, repository: Path, *arguments: str) -> Json:
    return daemon.expctl_json(repository, "gc", *arguments)


def _by_kind(document: Json) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in rows(document, "garbage"):
        found.setdefault(str(each["what"]), set()).add(str(each["subject"]))
    return found


def test_the_defaults_give_up_nothing_that_is_new(daemon: RunningDaemon, repository: Path) -> None:
    """Whoever never looks at the settings loses nothing of this week."""
    daemon.expctl(repository, "submit", "-n", "good", "-S", "train.lr=0.2")
    daemon.expctl(repository, "submit", "-n", "bad", "--", "false")
    daemon.run_expctl(repository, "wait", "--all")

    document = _collect(daemon, repository)

    assert (document["count"], document["size"], document["garbage"]) == (0, 0, [])
    assert len(daemon.entries(repository)) == 2


def test_what_the_rules_give_up_goes_and_results_stay(strict: RunningDaemon, repository: Path) -> None:
    """Told first, then removed: rows, refs, logs, worktrees and environments; the same list, and then nothing more."""
    for name in ("first", "second", "third"):
        strict.expctl(repository, "submit", "-n", name, "--", "sh", "-c", f"echo {name}")
    strict.expctl(repository, "submit", "-n", "failed", "--", "sh", "-c", "echo bad; exit 3")
    strict.run_expctl(repository, "wait", "--all")
    strict.expctl(repository, "submit", "--hold", "-n", "held", "--", "true")
    refs = git(repository, "for-each-ref", "--format=%(refname)", "refs/exps")

    told = _collect(strict, repository, "--dry-run")
    before = len(strict.entries(repository))
    done = _collect(strict, repository)
    again = _collect(strict, repository)

    runs, kept = strict.state / "runs", repository / ".git" / "expd" / "kept"
    assert before == 5
    assert rows(told, "garbage") == rows(done, "garbage")
    assert _by_kind(done) == {
        "entry": {"1", "2"},
        "log": {str(runs / "3.log"), str(runs / "4.log")},
        "worktree": {str(kept / "4")},
        "environment": {"s4"},
    }
    assert isinstance(done["size"], int)
    assert done["size"] > 0
    assert again["count"] == 0
    assert [entry["name"] for entry in strict.entries(repository)] == ["third", "failed", "held"]
    assert git(repository, "for-each-ref", "--format=%(refname)", "refs/exps") == refs
    assert len(git(repository, "for-each-ref", "refs/expd/entries").splitlines()) == 3
    assert not any(runs.iterdir())
    assert not any(kept.iterdir())


def test_what_was_given_up_can_still_be_run_again(strict: RunningDaemon, repository: Path) -> None:
    """Without log, worktree and environment an entry is retried from what was captured, with the environment of the shell."""
    write_files(repository, {"fail": "yes\n"})
    strict.expctl(repository, "submit", "-n", "failed", "--", "sh", "-c", 'test -n "$CANARY"')
    strict.run_expctl(repository, "wait", "failed")
    _collect(strict, repository)
    connection = sqlite3.connect(strict.state / "queue.db")
    kept = connection.execute("SELECT count(*) FROM environments").fetchone()
    connection.close()

    strict.environ["CANARY"] = "sings"
    strict.expctl(repository, "retry", "failed")
    strict.expctl(repository, "wait", "failed")

    assert kept == (0,)
    assert b"the log was deleted" in strict.run_expctl(repository, "follow", "failed@1").stdout


def test_copies_are_kept_while_they_may_be_needed(strict: RunningDaemon, repository: Path) -> None:
    """What -C has just stored may belong to a submission on its way; what a waiting entry needs stays, and runs."""
    write_files(repository, {".gitignore": "/model.bin\n/one\n/two\n", "one": "1\n", "two": "2\n"})
    git(repository, "commit", "--quiet", "--all", "--message", "ignored files")
    strict.expctl(repository, "submit", "-C", "one", "-n", "gone", "--", "cat", "one")
    strict.expctl(repository, "submit", "--hold", "-C", "two", "-n", "waits", "--", "cat", "two")
    strict.expctl(repository, "wait", "gone")
    strict.expctl(repository, "remove", "gone")
    fresh = _collect(strict, repository)
    objects = sorted((repository / ".git/expd/copies/files/md5").glob("*/*"))

    strict.expctl(repository, "release", "waits")
    strict.expctl(repository, "wait", "waits")

    assert fresh["count"] == 0
    assert len(objects) == 4
    assert strict.entries(repository, "waits")[0]["outcome"] == "succeeded"


def test_what_a_restore_put_aside_goes_by_age(strict: RunningDaemon, repository: Path) -> None:
    """A ref that keeps overwritten edits is given up after its time, and named."""
    commit = git(repository, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "expd: before the restore")
    ref = f"refs/expd/restored/{commit}"
    git(repository, "update-ref", ref, commit)
    strict.expctl(repository, "submit", "--hold", "-n", "known", "--", "true")

    document = _collect(strict, repository)

    assert _by_kind(document) == {"restored": {ref}}
    assert git(repository, "for-each-ref", "refs/expd/restored") == ""


def test_packs_that_had_to_outlast_a_collection_are_git_s_again(daemon: RunningDaemon, repository: Path) -> None:
    """What was written beside `git gc` is marked for an hour, and for the next collection a pack like any other."""
    (repository / ".git" / "gc.pid").write_text("1 elsewhere")
    daemon.expctl(repository, "submit", "--hold", "-n", "beside", "--", "true")
    (repository / ".git" / "gc.pid").unlink()
    (mark,) = (repository / ".git" / "objects" / "pack").glob("*.keep")
    daemon.expctl(repository, "gc")
    assert mark.exists()
    os.utime(mark, (time.time() - 3700,) * 2)

    daemon.expctl(repository, "gc", "--dry-run")
    assert mark.exists()
    daemon.expctl(repository, "gc")

    assert not mark.exists()
    assert mark.with_suffix(".pack").exists()


def test_what_can_not_be_removed_is_told(strict: RunningDaemon, repository: Path) -> None:
    """A ref that somebody has locked stays, is named, and makes the exit code 1; everything else goes."""
    commit = git(repository, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "expd: before the restore")
    git(repository, "update-ref", f"refs/expd/restored/{commit}", commit)
    strict.expctl(repository, "submit", "-n", "done", "--", "true")
    strict.expctl(repository, "wait", "done")
    (repository / ".git" / "refs" / "expd" / "restored" / f"{commit}.lock").touch()

    result = strict.run_expctl(repository, "gc", "--json")

    document = json.loads(result.stdout)
    assert result.returncode == 1
    assert commit in str(document["problems"])
    assert {"log"} <= set(_by_kind(document))


def test_leftovers_are_garbage(strict: RunningDaemon, repository: Path) -> None:
    """Files of killed processes go with the rest."""
    half = strict.state / "runs" / ".1.outcome.4194300.tmp"
    half.touch()
    os.utime(half, (OLD, OLD))

    assert _by_kind(_collect(strict, repository)) == {"leftover": {str(half)}}
    assert not half.exists()
