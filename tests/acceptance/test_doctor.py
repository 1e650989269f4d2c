"""`expctl doctor`: what is wrong is told with what to do; `--fix` mends what is safe to, and nothing else."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from helpers.daemons import Json, RunningDaemon, rows
from helpers.repositories import git, write_files

HELD = "refs/expd/entries"
EXIT_FOUND, EXIT_NO_DAEMON = 10, 3
HOUR_AGO = time.time() - 3600


def _examine(daemon: RunningDaemon, repository: Path, *arguments: str) -> tuple[int, Json]:
    result = daemon.run_expctl(repository, "doctor", *arguments, "--json")
    document: Json = json.loads(result.stdout)
    return result.returncode, document


def _problems(document: Json) -> dict[object, Json]:
    return {each["code"]: each for each in rows(document, "findings") if each["is_problem"]}


def test_nothing_is_wrong_after_ordinary_work(daemon: RunningDaemon, repository: Path) -> None:
    """Experiments that succeeded and failed leave nothing to mend; what is kept and how full the disk is are told."""
    daemon.expctl(repository, "submit", "-n", "good", "-S", "train.lr=0.2")
    daemon.expctl(repository, "submit", "-n", "bad", "--", "false")
    daemon.expctl(repository, "submit", "--hold", "-n", "held", "--", "true")
    daemon.run_expctl(repository, "wait", "good", "bad")

    code, document = _examine(daemon, repository)

    assert (code, document["problems"], _problems(document)) == (0, 0, {})
    assert document["repository"] == str(repository)
    told = {each["code"] for each in rows(document, "findings")}
    assert {"kept_worktrees", "disk_room", "started_by"} <= told


def test_what_is_safe_to_mend_is_mended(daemon: RunningDaemon, repository: Path) -> None:
    """Shown first, with nothing changed; mended by --fix; and then there is nothing wrong any more."""
    write_files(repository, {"staged.txt": "staged\n"})
    git(repository, "add", "staged.txt")
    daemon.expctl(repository, "submit", "--hold", "-n", "held", "--", "true")
    (ref,) = [path for path in (repository / ".git" / HELD).rglob("*") if path.is_file()]
    ref.unlink()
    git(repository, "update-ref", f"{ref.parent.relative_to(repository / '.git')}/{'f' * 32}", "HEAD")
    blob = git(repository, "rev-parse", ":staged.txt")
    loose = repository / ".git" / "objects" / blob[:2] / blob[2:]
    loose.chmod(0o600)
    loose.write_bytes(b"")
    log = daemon.state / "runs" / "77.log"
    log.touch()
    (daemon.state / "queue.db").chmod(0o644)

    seen = _examine(daemon, repository)
    mended = _examine(daemon, repository, "--fix")
    after = _examine(daemon, repository)

    wanted = {"object_empty", "open_to_others", "file_left", "ref_orphan"}
    assert seen[0] == EXIT_FOUND
    assert wanted <= set(_problems(seen[1]))
    assert not any(each["mended"] for each in rows(seen[1], "findings"))
    assert all(each["what"] and each["why"] and each["todo"] for each in _problems(seen[1]).values())
    assert mended[0] == 0, mended
    assert all(each["mended"] for each in _problems(mended[1]).values())
    assert (after[0], _problems(after[1])) == (0, {})
    assert git(repository, "cat-file", "blob", blob) == "staged"
    assert ref.exists()
    assert not log.exists()


def test_a_strangers_lock_is_named_and_left_alone(daemon: RunningDaemon, repository: Path) -> None:
    """With its age and whoever has it; one left behind is a problem, one that is held is not, and neither is removed."""
    left, held = repository / ".git" / "index.lock", repository / ".git" / "packed-refs.lock"
    for lock in (left, held):
        lock.touch()
        os.utime(lock, (HOUR_AGO, HOUR_AGO))

    with held.open():
        code, document = _examine(daemon, repository, "--fix")

    locks = {each["subject"]: each for each in rows(document, "findings") if each["section"] == "locks"}
    assert code == EXIT_FOUND
    assert (locks[str(left)]["code"], locks[str(held)]["code"]) == ("lock_left", "lock_held")
    assert f"process {os.getpid()}" in str(locks[str(held)]["what"])
    assert left.exists()
    assert held.exists()


def test_a_snapshot_that_is_gone_is_told_by_its_entry(daemon: RunningDaemon, repository: Path) -> None:
    """Also an object deep in it, for which a start does not look; --fix ends the entry with that reason."""
    write_files(repository, {"deep/new.txt": "found nowhere else\n"})
    daemon.expctl(repository, "submit", "--hold", "-n", "held", "--", "true")
    (entry,) = daemon.entries(repository)
    blob = git(repository, "rev-parse", f"{entry['stash_rev']}:deep/new.txt")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()

    seen = _examine(daemon, repository)
    daemon.expctl(repository, "doctor", "--fix")

    assert seen[0] == EXIT_FOUND
    assert _problems(seen[1])["snapshot_gone"]["subject"] == str(entry["id"])
    (entry,) = daemon.entries(repository)
    assert (entry["state"], entry["outcome"]) == ("done", "refused")


def test_outside_of_a_repository_the_daemon_is_examined(daemon: RunningDaemon, tmp_path: Path) -> None:
    """There is no repository, which is no fault."""
    code, document = _examine(daemon, tmp_path)

    assert (code, document["repository"]) == (0, None)


@pytest.mark.parametrize("damage", ["not a database", "directory"])
def test_a_store_that_keeps_the_daemon_from_starting_is_named(
    daemon: RunningDaemon, repository: Path, damage: str
) -> None:
    """Doctor says what the daemon said, names every file of the store, and changes none."""
    daemon.expctl(repository, "submit", "--hold", "-n", "held", "--", "true")
    daemon.kill()
    store = daemon.state / "queue.db"
    for path in daemon.state.glob("queue.db*"):
        path.rename(path.with_name(path.name.replace("queue.db", "queue.db.backup")))
    backup = store.with_name("queue.db.backup")
    if damage == "directory":
        store.mkdir()
    else:
        store.write_text("not a database at all\n")
    environ = {**daemon.environ, "EXPD_AUTOSTART": "1"}

    found = subprocess.run(
        ["expctl", "doctor"], cwd=repository, env=environ, capture_output=True, text=True, check=False, timeout=60
    )

    subjects = [line.split("\t")[3] for line in found.stdout.splitlines()]
    assert found.returncode == EXIT_NO_DAEMON
    assert f"{store}: is not a" in found.stdout
    assert {str(store), str(backup)} <= set(subjects)
    assert backup.exists()
    if damage == "directory":
        store.rmdir()
    for path in daemon.state.glob("queue.db.backup*"):
        path.replace(path.with_name(path.name.replace("queue.db.backup", "queue.db")))
    daemon.restart()
    assert [entry["name"] for entry in daemon.entries(repository)] == ["held"]
