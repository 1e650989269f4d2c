"""Refs of a real repository: compared, swapped, read back; locked, packed and damaged ones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expd.gitio.errors import GitFailed, RefLocked, RefMoved
from expd.gitio.refs import (
    ENTRIES,
    RefChange,
    change_ref,
    experiment_ref,
    experiments_of,
    read_ref,
    spellings_of,
    twin_of,
)
from expd.gitio.repository import Repository
from expproto.vocabulary import Rev
from helpers.repositories import a_repository, git

REF = f"{ENTRIES}request1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a repository with three commits, tagged one to three."""
    repository = a_repository(tmp_path / "project", {"a.txt": "a\n"})
    for tag in ("one", "two", "three"):
        git(repository, "commit", "--quiet", "--allow-empty", "--message", tag)
        git(repository, "tag", tag)
    return repository


def _rev(path: Path, name: str) -> Rev:
    return Rev(git(path, "rev-parse", name))


def _change(path: Path, new: str | None, expected: str | None = None, *, force: bool = False, ref: str = REF) -> None:
    change = RefChange(
        ref=ref,
        new=None if new is None else _rev(path, new),
        expected=None if expected is None else _rev(path, expected),
        force=force,
    )
    change_ref(Repository(path / ".git"), change)


def _held(path: Path, ref: str = REF) -> Rev | None:
    """Read a ref as Git does."""
    return Rev(git(path, "for-each-ref", "--format=%(objectname)", ref)) or None


def test_a_ref_is_created_moved_and_deleted(path: Path) -> None:
    """Each step names what it expects, and Git sees each."""
    seen = []
    for new, expected in (("one", None), ("two", "one"), (None, "two")):
        _change(path, new, expected)
        seen.append(_held(path))

    assert seen == [_rev(path, "one"), _rev(path, "two"), None]


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.parametrize(
    ("new", "expected"),
    [("two", None), ("two", "three"), (None, None), (None, "three"), ("one", None)],
    ids=["created twice", "moved meanwhile", "deleted as absent", "deleted meanwhile", "created alike"],
)
def test_a_ref_that_is_not_as_expected_stays(path: Path, packed: bool, new: str | None, expected: str | None) -> None:
    """The refusal says what the ref holds; nothing changes, and no lock is left."""
    _change(path, "one")
    if packed:
        git(path, "pack-refs", "--all")

    with pytest.raises(RefMoved) as refused:
        _change(path, new, expected)

    assert (refused.value.ref, refused.value.found) == (REF, _rev(path, "one"))
    assert _held(path) == _rev(path, "one")
    assert list((path / ".git").rglob("*.lock")) == []


def test_an_absent_ref_is_not_moved(path: Path) -> None:
    """Somebody has deleted it: it is not quietly made anew."""
    with pytest.raises(RefMoved) as refused:
        _change(path, "two", "one")

    assert (refused.value.expected, refused.value.found) == (_rev(path, "one"), None)
    assert _held(path) is None


def test_force_asks_no_question(path: Path) -> None:
    """It creates, replaces and deletes whatever is there, and deleting nothing is no error."""
    seen = []
    for new in ("one", "two", None, None):
        _change(path, new, force=True)
        seen.append(_held(path))

    assert seen == [_rev(path, "one"), _rev(path, "two"), None, None]


def test_packed_refs_are_refs(path: Path) -> None:
    """After `git pack-refs` a ref is read, moved and deleted as before; deleted, its packed line is gone as well."""
    _change(path, "one")
    git(path, "pack-refs", "--all", "--prune")
    read = read_ref(Repository(path / ".git"), REF)
    _change(path, "two", "one")
    git(path, "pack-refs", "--all", "--prune")

    _change(path, None, "two")

    assert read == _rev(path, "one")
    assert _held(path) is None
    assert REF not in (path / ".git" / "packed-refs").read_text()


def test_another_handle_sees_a_change_at_once(path: Path) -> None:
    """A repository that was opened before does not answer from memory."""
    before = Repository(path / ".git")
    assert read_ref(before, REF) is None

    _change(path, "one")

    assert read_ref(before, REF) == _rev(path, "one")


def test_a_locked_ref_is_told_with_its_lock(path: Path) -> None:
    """The file in the way is named, and is left alone: it is somebody's."""
    _change(path, "one")
    lock = path / ".git" / f"{REF}.lock"
    lock.write_text("somebody's\n")

    with pytest.raises(RefLocked) as refused:
        _change(path, "two", "one")

    assert (refused.value.ref, refused.value.path) == (REF, str(lock))
    assert lock.read_text() == "somebody's\n"
    assert _held(path) == _rev(path, "one")


def test_the_lock_of_packed_refs_is_told_too(path: Path) -> None:
    """A deletion takes the lock of packed-refs as well; it is the one that is named then."""
    _change(path, "one")
    git(path, "pack-refs", "--all")
    lock = path / ".git" / "packed-refs.lock"
    lock.touch()

    with pytest.raises(RefLocked) as refused:
        _change(path, None, "one")

    assert refused.value.path == str(lock)
    assert _held(path) == _rev(path, "one")


def test_refs_of_a_linked_work_tree_are_the_repositorys(path: Path) -> None:
    """Written from a linked work tree, a ref and its lock are where all work trees share them."""
    git(path, "worktree", "add", "--quiet", "--detach", str(path.parent / "linked"))
    linked = Repository(path / ".git" / "worktrees" / "linked")
    change_ref(linked, RefChange(ref=REF, new=_rev(path, "one")))
    lock = path / ".git" / f"{REF}.lock"
    lock.touch()

    with pytest.raises(RefLocked) as refused:
        change_ref(linked, RefChange(ref=REF, new=None, force=True))

    assert refused.value.path == str(lock)
    assert _held(path) == _rev(path, "one")


def test_a_ref_below_a_ref_is_refused(path: Path) -> None:
    """A name can't be a file and a directory: what is there stays, whichever came first."""
    _change(path, "one", ref="refs/exps/aa/bb/x")

    with pytest.raises(GitFailed, match="Not a directory"):
        _change(path, "two", ref="refs/exps/aa/bb/x/y")
    with pytest.raises(GitFailed, match="refs beneath"):
        _change(path, "two", ref="refs/exps/aa/bb")

    assert _held(path, "refs/exps/aa/bb/x") == _rev(path, "one")


def test_a_ref_below_a_packed_ref_is_refused(path: Path) -> None:
    """Also where neither is a file or a directory, as after a `git gc`."""
    _change(path, "one", ref="refs/exps/aa/bb/x")
    git(path, "pack-refs", "--all", "--prune")

    with pytest.raises(GitFailed, match="have to be its directory"):
        _change(path, "two", ref="refs/exps/aa/bb/x/y")
    with pytest.raises(GitFailed, match="refs beneath"):
        _change(path, "two", ref="refs/exps/aa/bb")

    assert _held(path, "refs/exps/aa/bb/x") == _rev(path, "one")


def test_a_ref_may_have_the_place_of_empty_directories(path: Path) -> None:
    """They are what is left of refs that were below it."""
    (path / ".git" / "refs" / "exps" / "aa" / "bb" / "cc").mkdir(parents=True)

    _change(path, "one", ref="refs/exps/aa")

    assert _held(path, "refs/exps/aa") == _rev(path, "one")


def test_what_a_packed_tag_peels_to_goes_with_it(path: Path) -> None:
    """Its line and the one below are of one ref; all others stay as they were, and so does who may read them."""
    git(path, "tag", "--annotate", "--message", "x", "annotated")
    git(path, "pack-refs", "--all", "--prune")
    before = git(path, "show-ref", "--dereference").splitlines()
    (path / ".git" / "packed-refs").chmod(0o640)

    _change(path, None, force=True, ref="refs/tags/annotated")

    after = git(path, "show-ref", "--dereference").splitlines()
    assert after == [line for line in before if "refs/tags/annotated" not in line]
    assert (path / ".git" / "packed-refs").stat().st_mode & 0o777 == 0o640
    assert git(path, "fsck", "--no-dangling") == ""


def test_a_damaged_ref_is_an_error_not_an_absence(path: Path) -> None:
    """An empty ref file, as a power cut leaves it, is not taken for a free name."""
    _change(path, "one")
    (path / ".git" / REF).write_bytes(b"")

    with pytest.raises(GitFailed, match="request1"):
        read_ref(Repository(path / ".git"), REF)
    with pytest.raises(GitFailed, match="request1"):
        _change(path, "two")


@pytest.mark.parametrize("ref", ["refs/exps/a b", "refs/exps/a..b", "refs/exps/x.lock", "../../outside", "x"])
def test_what_is_no_ref_is_refused(path: Path, ref: str) -> None:
    """A name Git would not take writes nothing anywhere."""
    before = _files(path.parent)

    with pytest.raises((GitFailed, RefLocked)):
        _change(path, "one", ref=ref)

    assert _files(path.parent) == before


def _files(directory: Path) -> list[Path]:
    return sorted(found for found in directory.rglob("*") if found.is_file())


def test_the_reflog_and_head_are_left_alone(path: Path) -> None:
    """A ref of ours has no history of its own, and moving it moves nothing else."""
    before = git(path, "reflog"), git(path, "symbolic-ref", "HEAD")

    _change(path, "one")

    assert (git(path, "reflog"), git(path, "symbolic-ref", "HEAD")) == before
    assert not (path / ".git" / "logs" / REF).exists()


def test_experiments_of_a_baseline_are_its_direct_names(path: Path) -> None:
    """Deeper refs, other baselines and DVC's own refs are no experiments of it; damaged ones are passed over."""
    baseline, other = _rev(path, "one"), _rev(path, "two")
    for name in ("calm-otter", "x", "deeper/name"):
        _change(path, "three", ref=experiment_ref(baseline, name))
    _change(path, "three", ref=experiment_ref(other, "elsewhere"))
    _change(path, "three", ref="refs/exps/stash")
    (path / ".git" / experiment_ref(baseline, "damaged")).write_bytes(b"")

    found = experiments_of(Repository(path / ".git"), baseline)

    assert found == {"calm-otter": _rev(path, "three"), "x": _rev(path, "three")}


@given(st.text("0123456789abcdef", min_size=40, max_size=40), st.from_regex(r"\A[a-z][a-z0-9-]{0,9}\Z"))
def test_the_ref_of_an_experiment_tells_its_baseline(baseline: str, name: str) -> None:
    """The path alone says which commit an experiment starts from, as DVC reads it."""
    ref = experiment_ref(Rev(baseline), name)

    first, second, *rest = ref.removeprefix("refs/exps/").split("/")
    assert (first + second, len(first), rest) == (baseline, 2, [name])


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_a_ref_in_another_case_is_found(path: Path, packed: bool) -> None:
    """Loose or packed; what is deeper, what is elsewhere and what is the same is none."""
    baseline, other = _rev(path, "one"), _rev(path, "two")
    for name in ("Tuned", "x", "deeper/TUNED"):
        _change(path, "three", ref=experiment_ref(baseline, name))
    _change(path, "three", ref=experiment_ref(other, "tunED"))
    if packed:
        git(path, "pack-refs", "--all", "--prune")
    repository = Repository(path / ".git")

    assert twin_of(repository, experiment_ref(baseline, "tuned")) == "Tuned"
    assert twin_of(repository, experiment_ref(baseline, "tuned"), but_for="Tuned") is None
    assert twin_of(repository, experiment_ref(baseline, "Tuned")) is None
    assert twin_of(repository, experiment_ref(baseline, "X")) == "x"
    assert {"tuned", "x"} <= spellings_of(repository, experiment_ref(baseline, "")).keys() <= {"tuned", "x", "deeper"}
