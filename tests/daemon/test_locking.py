"""Locks of ours in a repository: Git's own to everybody else, and proved to be nobody's when their holder was killed."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from expd.gitio.locking import LockHeld, abandoned, locked, proof_of, release
from expd.gitio.refs import RefChange, change_ref, read_ref
from expd.gitio.repository import Repository
from expd.upkeep.leftovers import left_in_repository
from expd.upkeep.recovering import remove_leftover
from expproto.vocabulary import Rev
from helpers.repositories import a_repository, git

REF = "refs/exps/aa/bb/x"
HOLD = """\
import sys
from pathlib import Path
from expd.gitio.locking import locked
with locked(Path(sys.argv[1]), Path(sys.argv[1]) / sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def common(tmp_path: Path) -> Path:
    """Give the common directory of a repository with a commit."""
    return a_repository(tmp_path / "project", {"a.txt": "a\n"}) / ".git"


@contextmanager
def _held_by_a_process(common: Path, lock: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", HOLD, str(common), lock]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield holder
        holder.kill()


def _leave_behind(common: Path, lock: str) -> Path:
    """Have a process killed while it has a lock."""
    with _held_by_a_process(common, lock) as holder:
        holder.send_signal(signal.SIGKILL)
    return common / lock


def _head(common: Path) -> Rev:
    return Rev(git(common.parent, "rev-parse", "HEAD"))


def test_a_lock_keeps_git_out_and_goes_with_its_block(common: Path) -> None:
    """While it is there Git refuses to move the ref; afterwards nothing of it is left."""
    with locked(common, common / f"{REF}.lock"):
        refused = subprocess.run(
            ["git", "update-ref", REF, "HEAD"], cwd=common.parent, capture_output=True, check=False
        )
    git(common.parent, "update-ref", REF, "HEAD")

    assert b".lock" in refused.stderr
    assert list(common.rglob("*lock*")) == []


def test_a_lock_of_who_lives_is_held(common: Path) -> None:
    """It is named, and nothing proves that it could be taken away."""
    with _held_by_a_process(common, f"{REF}.lock"):
        with pytest.raises(LockHeld) as refused, locked(common, common / f"{REF}.lock"):
            pass

        assert refused.value.path == common / f"{REF}.lock"
        assert abandoned(common, [common / f"{REF}.lock"]) == []


def test_a_lock_whose_holder_was_killed_is_nobodys(common: Path) -> None:
    """Whoever needs it next takes it away and goes on, without a wait and without a hand."""
    lock = _leave_behind(common, f"{REF}.lock")
    assert lock.exists()

    change_ref(Repository(common), RefChange(ref=REF, new=_head(common)))

    assert read_ref(Repository(common), REF) == _head(common)
    assert list(common.rglob("*lock*")) == []


def test_a_lock_of_packed_refs_that_was_left_behind_is_nobodys_either(common: Path) -> None:
    """It would hold up every deletion, Git's own among them."""
    change_ref(Repository(common), RefChange(ref=REF, new=_head(common)))
    git(common.parent, "pack-refs", "--all")
    _leave_behind(common, "packed-refs.lock")

    change_ref(Repository(common), RefChange(ref=REF, new=None, force=True))

    assert read_ref(Repository(common), REF) is None
    assert list(common.rglob("*lock*")) == []


def test_a_lock_without_a_proof_stays(common: Path) -> None:
    """A stranger's lock may look just the same; a file of ours beside it says nothing about it."""
    own = _leave_behind(common, f"{REF}.lock")
    content = own.read_bytes()
    own.unlink()
    own.write_bytes(content)

    with pytest.raises(LockHeld), locked(common, own):
        pass

    assert own.exists()


def test_a_proof_is_good_for_its_own_lock_only(common: Path) -> None:
    """If somebody else has the lock by the time it is taken away, it is left alone."""
    lock = _leave_behind(common, f"{REF}.lock")
    proof = proof_of(common, lock)
    assert proof is not None
    lock.unlink()
    lock.write_text("somebody's\n")

    release(proof)

    assert lock.read_text() == "somebody's\n"


def test_a_start_takes_away_what_dead_processes_locked(common: Path) -> None:
    """Nobody has to come upon it first, and no doctor is needed; what lives keeps its lock."""
    lock = _leave_behind(common, f"{REF}.lock")
    with _held_by_a_process(common, "refs/exps/aa/bb/y.lock"):
        found = left_in_repository(common, "store", 0.0)
        removed = [remove_leftover(leftover) for leftover in found]

        assert [leftover.path for leftover in found] == [lock]
        assert removed == [True]
        assert not lock.exists()
        assert (common / "refs/exps/aa/bb/y.lock").exists()


def test_a_file_system_without_second_names_has_locks_all_the_same(
    common: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are like Git's: what is left behind there is told by the doctor."""

    def refuse(*_paths: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)

    change_ref(Repository(common), RefChange(ref=REF, new=_head(common)))
    with locked(common, common / f"{REF}.lock"), pytest.raises(LockHeld), locked(common, common / f"{REF}.lock"):
        pass

    assert read_ref(Repository(common), REF) == _head(common)
    assert list(common.rglob("*lock*")) == []
