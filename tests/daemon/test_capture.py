"""Stash commits: Git's own shape, held by one ref whatever is collected, and nothing of anybody's run on the way."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from expd.gitio.errors import CannotCapture, GitFailed, ObjectMissing
from expd.gitio.refs import ENTRIES
from expd.gitio.repository import REGULAR, Identity, Repository, TreeFile
from expd.prepare.capture import NoCommit, UnfinishedMerge, capture_workspace, hold, keeper_of, point_tree, stash_points
from expd.prepare.overrides.sweeps import expand
from expproto.vocabulary import Rev
from helpers.repositories import a_repository, everything_of, git, write_files

IDENTITY = Identity(name="Ada Löw", email="ada@example.org", at=1_700_000_000.9)
REQUEST = "request1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a repository with a parameter file and a staged edit."""
    path = a_repository(tmp_path / "project", {"params.yaml": "lr: 0.1\n", "a.txt": "a\n"})
    write_files(path, {"a.txt": "staged\n"})
    git(path, "add", "a.txt")
    write_files(path, {"a.txt": "edited\n", "new.txt": "new\n"})
    return path


def _stashed(path: Path, *overrides: str) -> list[Rev]:
    """Capture, make the points of a sweep, and hold them."""
    repository = Repository(path / ".git")
    capture = capture_workspace(repository)
    trees = [
        (f"x-{point.number}", point_tree(repository, capture, point, ".", {}))
        for point in expand(overrides, 100, random.Random(0))
    ]
    revs = stash_points(repository, capture, trees, IDENTITY)
    hold(repository, REQUEST, capture, revs, keeper_of(repository, capture, revs, IDENTITY))
    return revs


def _collect_garbage(path: Path) -> None:
    git(path, "reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all")
    git(path, "gc", "--quiet", "--prune=now")


def test_a_stash_commit_has_gits_own_shape(path: Path) -> None:
    """Its parents are HEAD and a commit of the index; its message tells the baseline and the name, as DVC reads it."""
    (stash,) = _stashed(path, "lr=0.2")

    head = git(path, "rev-parse", "HEAD")
    parents = git(path, "show", "--no-patch", "--format=%P", stash).split()
    assert parents[0] == head
    assert git(path, "show", "--no-patch", "--format=%P", parents[1]) == head
    assert git(path, "show", f"{parents[1]}:a.txt") == "staged"
    assert git(path, "show", f"{stash}:a.txt") == "edited"
    assert git(path, "show", "--no-patch", "--format=%B", stash) == f"dvc-exp:{head}:{head}:x-1"
    assert git(path, "show", "--no-patch", "--format=%an %ae %ct", stash) == "Ada Löw ada@example.org 1700000000"


def test_applying_with_the_index_gives_both_states_back(path: Path, tmp_path: Path) -> None:
    """`git stash apply --index` restores what was staged apart from what was edited."""
    (stash,) = _stashed(path)
    git(tmp_path, "clone", "--quiet", str(path), "clone")
    clone = tmp_path / "clone"
    git(clone, "fetch", "--quiet", "origin", f"{ENTRIES}{REQUEST}:refs/fetched")

    git(clone, "stash", "apply", "--quiet", "--index", stash)

    assert git(clone, "show", ":a.txt") == "staged"
    assert (clone / "a.txt").read_text() == "edited\n"
    assert (clone / "new.txt").read_text() == "new\n"


def test_one_ref_holds_all_points_through_a_collection(path: Path) -> None:
    """After `git gc --prune=now` every point is there with all of its files, however many there are."""
    revs = _stashed(path, "lr=range(1,31)")

    _collect_garbage(path)

    assert git(path, "for-each-ref", "--format=%(refname)", "refs/expd") == f"{ENTRIES}{REQUEST}"
    assert [git(path, "show", f"{rev}:params.yaml") for rev in revs] == [f"lr: {lr}" for lr in range(1, 31)]
    assert git(path, "fsck", "--strict") == ""


def test_a_single_point_needs_no_keeper(path: Path) -> None:
    """The ref is the stash commit itself: `git stash apply refs/expd/entries/…` is all it takes."""
    (stash,) = _stashed(path)

    assert git(path, "rev-parse", f"{ENTRIES}{REQUEST}") == stash


def test_without_its_ref_a_capture_is_garbage(path: Path) -> None:
    """Nothing else holds it: deleting the ref is all it takes to forget a submission."""
    (stash,) = _stashed(path)
    git(path, "update-ref", "-d", f"{ENTRIES}{REQUEST}")

    _collect_garbage(path)

    assert not Repository(path / ".git").has_object(stash)


def test_objects_that_vanished_meanwhile_are_noticed(path: Path) -> None:
    """A collection between writing and holding is told: an acknowledged entry would have nothing to run."""
    repository = Repository(path / ".git")
    capture = capture_workspace(repository)
    revs = stash_points(repository, capture, [("x", capture.files_tree)], IDENTITY)
    blob = git(path, "rev-parse", f"{capture.files_tree}:new.txt")
    (path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()

    with pytest.raises(ObjectMissing):
        hold(Repository(path / ".git"), REQUEST, capture, revs, revs[0])


def test_a_lock_that_a_kill_has_left_is_in_nobodys_way(path: Path) -> None:
    """A request that is asked again after a crash is held all the same: no lock is taken for a name that nobody else knows."""
    lock = path / ".git" / f"{ENTRIES}{REQUEST}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()

    (stash,) = _stashed(path)

    assert git(path, "rev-parse", f"{ENTRIES}{REQUEST}") == stash


def test_capture_leaves_the_users_stash_and_reflog_alone(path: Path) -> None:
    """A stash of the user's own, its reflog and HEAD's are as they were."""
    git(path, "stash", "push", "--quiet", "--message", "mine")
    git(path, "stash", "apply", "--quiet", "--index")
    before, stashes = everything_of(path), git(path, "stash", "list")

    _stashed(path, "lr=1,2")

    assert everything_of(path) == before
    assert git(path, "stash", "list") == stashes
    assert (path / ".git" / "logs" / "refs" / "stash").exists()


def test_a_detached_head_is_a_baseline_like_any(path: Path) -> None:
    """No branch is needed to start from."""
    git(path, "checkout", "--quiet", "--detach")

    capture = capture_workspace(Repository(path / ".git"))

    assert capture.baseline_rev == git(path, "rev-parse", "HEAD")


def _orphan(path: Path) -> None:
    git(path, "checkout", "--quiet", "--orphan", "fresh")


def _conflict(path: Path) -> None:
    git(path, "commit", "--quiet", "--all", "--message", "ours")
    git(path, "checkout", "--quiet", "-b", "other", "HEAD~1")
    write_files(path, {"a.txt": "theirs\n"})
    git(path, "commit", "--quiet", "--all", "--message", "theirs")
    subprocess.run(["git", "-C", path, "merge", "main"], check=False, capture_output=True)


@pytest.mark.parametrize(("begin", "error"), [(_orphan, NoCommit), (_conflict, UnfinishedMerge)])
def test_without_a_baseline_nothing_is_captured(
    path: Path, begin: Callable[[Path], None], error: type[Exception]
) -> None:
    """Before the first commit, or in the middle of a merge, not one object is written."""
    begin(path)
    before = sorted(path.rglob("*"))

    with pytest.raises(error):
        capture_workspace(Repository(path / ".git"))

    assert sorted(path.rglob("*")) == before


def test_nothing_of_a_hostile_configuration_is_run(path: Path) -> None:
    """Hooks, filters, fsmonitor and diff programs of a repository are its author's: capture starts no process."""
    script = path.parent / "pwn.sh"
    script.write_text(f"#!/bin/sh\ntouch '{path.parent}/PWNED'\ncat\n")
    script.chmod(0o755)
    for key in ("core.fsmonitor", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv", "core.editor"):
        git(path, "config", key, str(script))
    for hook in ("post-index-change", "reference-transaction", "pre-auto-gc"):
        (path / ".git" / "hooks").mkdir(exist_ok=True)
        (path / ".git" / "hooks" / hook).symlink_to(script)
    (path / ".gitattributes").write_text("* diff=evil\n")

    _stashed(path, "lr=1,2")
    (path / ".gitattributes").write_text("* filter=evil diff=evil\n")
    with pytest.raises(CannotCapture, match="filter evil"):
        _stashed(path)

    assert not (path.parent / "PWNED").exists()


@pytest.mark.parametrize("name", ["../x", ".git/config", ".GIT/config", "d/../../x", "git~1/x", "a//b", ""])
def test_a_tree_takes_no_path_that_leads_elsewhere(path: Path, name: str) -> None:
    """What a checkout would write outside its place, or into `.git`, can't be put into a tree."""
    repository = Repository(path / ".git")
    blob = TreeFile(rev=repository.write_blob(b"x"), mode=REGULAR)
    tree = repository.tree_of(Rev(git(path, "rev-parse", "HEAD")))

    with pytest.raises(GitFailed):
        repository.edit_tree(tree, {name: blob})


def test_objects_are_synced_as_they_are_written(path: Path, tmp_path: Path) -> None:
    """Each new object and ref is synced before it is named: a power cut leaves no empty file behind a ref."""
    trace = tmp_path / "trace"
    script = (
        "import sys; from pathlib import Path; from expd.gitio.repository import Repository, Identity\n"
        "from expd.prepare.capture import *\n"
        "repository = Repository(Path(sys.argv[1])); capture = capture_workspace(repository)\n"
        "identity = Identity(name='a', email='b', at=1.0)\n"
        "revs = stash_points(repository, capture, [('x', capture.files_tree)], identity)\n"
        "hold(repository, 'request1', capture, revs, keeper_of(repository, capture, revs, identity))\n"
    )
    command = ["strace", "-f", "-y", "-qq", "-e", "trace=fsync,fdatasync,link,rename,renameat2", "-o", str(trace)]
    try:
        subprocess.run([*command, sys.executable, "-c", script, path / ".git"], check=True)
    except FileNotFoundError:
        pytest.skip("strace is not installed")

    synced = trace.read_text().count("sync(")
    objects = sum(1 for _ in (path / ".git" / "objects").glob("??/*"))
    before = 3 + 1  # the first commit's objects, and the staged blob
    assert synced >= objects - before + 1
