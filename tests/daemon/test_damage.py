"""What a power cut leaves in a repository is found, mended where the content is known, and named where it is not."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from expd.gitio.damage import empty_objects, locks_of, mend_empty_objects, rev_of
from expd.gitio.errors import GitFailed
from expd.gitio.repository import Repository
from expd.linux.filesystems import file_system_of
from expd.linux.holders import at_work_in, holder_of
from expd.prepare.newfiles import NewFileLimits
from expd.prepare.project import find_project
from expd.prepare.submission import Circumstances, Prepared, prepare
from expproto.requests import Submit
from helpers.repositories import a_repository, git, write_files

ROOMY = NewFileLimits(file_bytes_max=10**6, bytes_max=10**6, count_max=100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a repository with a staged edit, another one on top of it, and one in a directory."""
    path = a_repository(tmp_path / "project", {"params.yaml": "lr: 0.1\n", "a.txt": "a\n", "d/b.txt": "b\n"})
    write_files(path, {"a.txt": "staged\n", "staged.txt": "staged alone\n"})
    git(path, "add", "a.txt", "staged.txt")
    write_files(path, {"a.txt": "edited\n", "d/b.txt": "edited too\n", "new.txt": "new\n"})
    return path


def _submit(path: Path) -> Prepared:
    circumstances = Circumstances(
        at=time.time(), rng=random.Random(7), points_max=20, new_files=ROOMY, living_names=(), held_as="request1"
    )
    request = Submit(request_id="request1", cwd=str(path), command=("sh",), overrides=("lr=0.2",))
    return prepare(request, find_project(path, command=request.command), circumstances)


def _file_of(path: Path, rev: str) -> Path:
    return path / ".git" / "objects" / rev[:2] / rev[2:]


def _empty(file: Path) -> None:
    file.chmod(0o600)
    file.write_bytes(b"")


@pytest.mark.parametrize(
    "what", ["a.txt", "d/b.txt", "new.txt", "params.yaml", "staged.txt", "d", ""], ids=lambda what: what or "the tree"
)
def test_an_empty_object_that_a_capture_needs_is_written_anew(path: Path, what: str) -> None:
    """Left empty by a power cut, an object of the capture is there again afterwards; Git finds nothing missing."""
    stash = _submit(path).points[0].stash_rev
    _empty(_file_of(path, git(path, "rev-parse", f"{stash}:{what}")))

    again = _submit(path).points[0].stash_rev

    assert git(path, "show", f"{again}:staged.txt") == "staged alone"
    assert git(path, "show", f"{again}:d/b.txt") == "edited too"
    assert git(path, "rev-list", "--objects", "--no-object-names", again)
    assert empty_objects(Repository(path / ".git")) == []


def test_an_empty_object_whose_content_is_nowhere_is_named(path: Path) -> None:
    """The refusal names the file that was empty: what it held can be fetched from elsewhere, but not be guessed."""
    head_tree = _file_of(path, git(path, "rev-parse", "HEAD^{tree}"))
    _empty(head_tree)

    with pytest.raises(GitFailed, match=str(head_tree)):
        _submit(path)


def test_what_the_workspace_holds_is_mended_by_hand_too(path: Path) -> None:
    """Of all empty objects, those are written anew that a tracked file still is; the rest is told as lost."""
    kept, lost = git(path, "rev-parse", ":staged.txt"), git(path, "rev-parse", "HEAD:a.txt")
    for rev in (kept, lost):
        _empty(_file_of(path, rev))

    mended = mend_empty_objects(Repository(path))

    assert mended.written == (kept,)
    assert [rev_of(file) for file in mended.lost] == [lost]
    assert git(path, "cat-file", "blob", kept) == "staged alone"


def test_every_lock_is_found(path: Path) -> None:
    """Of the index, of all packed refs and of single refs, at any depth."""
    for name in ("index.lock", "packed-refs.lock", "refs/exps/ab/x.lock", "refs/heads/main.lock"):
        lock = path / ".git" / name
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()

    found = [lock.relative_to(path / ".git").as_posix() for lock in locks_of(path / ".git")]

    assert found == ["index.lock", "packed-refs.lock", "refs/exps/ab/x.lock", "refs/heads/main.lock"]


def test_who_has_a_file_open_is_told(tmp_path: Path) -> None:
    """The process and its name, for as long as it has the file open; one that works in a directory is found there."""
    file = tmp_path / "index.lock"
    file.touch()
    held_by_nobody = holder_of(file)
    script = (
        "import os, sys; held = open(sys.argv[1]); os.chdir(sys.argv[2]); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, file, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        holder = holder_of(file)
        assert holder is not None
        worker = at_work_in(tmp_path, frozenset({holder.name}))
        process.communicate()

    assert (held_by_nobody, holder.pid) == (None, process.pid)
    assert worker == holder
    assert holder_of(tmp_path / "absent") is None


def test_the_innermost_mount_is_the_file_system(tmp_path: Path) -> None:
    """Of the mounts above a path the deepest counts, also with spaces in its name; NFS is a network's."""
    mounts = tmp_path / "mountinfo"
    below = tmp_path / "a b"
    below.mkdir()
    mounts.write_text(
        "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
        f"21 20 0:50 / {tmp_path} rw - tmpfs tmpfs rw\n"
        f"22 21 0:51 / {tmp_path}/a\\040b rw,relatime shared:7 master:2 - nfs4 host:/export rw\n"
    )

    assert [file_system_of(each, mounts).type for each in (tmp_path.parent, tmp_path, below, below / "absent")] == [
        "ext4",
        "tmpfs",
        "nfs4",
        "nfs4",
    ]
    assert file_system_of(below, mounts).is_network
    assert not file_system_of(tmp_path, mounts).is_network
    assert 0 <= file_system_of(tmp_path).free_bytes <= file_system_of(tmp_path).size_bytes
