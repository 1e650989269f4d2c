"""A workspace brought back: what was captured is there byte for byte, what would be lost is refused or kept."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expd.gitio.errors import RefLocked
from expd.gitio.locate import locate
from expd.gitio.repository import Identity, Repository
from expd.linux.placing import TEMPORARY_PREFIX
from expd.prepare.capture import UnfinishedMerge, capture_workspace, captured_by, hold, keeper_of, stash_points
from expd.prepare.restore import CannotRestore, NewerEdits, Restoration, RestoreOrder, restore
from expproto.vocabulary import Rev
from helpers.repositories import a_repository, everything_of, git, write_files

IDENTITY = Identity(name="Ada", email="ada@example.org", at=1_700_000_000.0)
REQUEST = "request1"
FILES = {"a.txt": "a\n", "b.sh": "echo b\n", "sub/c.txt": "c\n", "sub/deep/d.txt": "d\n", "e.txt": "e\n"}

Picture = tuple[dict[str, tuple[str, bytes]], str, str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a repository with files at three depths."""
    return a_repository(tmp_path / "project", FILES)


def _submit(path: Path, request: str = REQUEST) -> tuple[Rev, Rev]:
    """Capture and hold as a submission with an override does; gives the commit of the workspace and the stash commit."""
    repository = Repository(path / ".git")
    capture = capture_workspace(repository)
    overridden = repository.edit_tree(capture.files_tree, {"a.txt": None})
    (stash,) = stash_points(repository, capture, [("x", overridden)], IDENTITY)
    hold(repository, request, capture, [stash], keeper_of(repository, capture, [stash], IDENTITY))
    captured = captured_by(repository, request, stash)
    assert captured is not None
    return captured, stash


def _restore(path: Path, captured: tuple[Rev, Rev], *, force: bool = False, result: Rev | None = None) -> Restoration:
    order = RestoreOrder(workspace_rev=captured[0], stash_rev=captured[1], result_rev=result, umask=0o022, force=force)
    return restore(locate(path), order)


def picture_of(path: Path) -> Picture:
    """Take what a restore gives back: every file with its kind and bytes, the index, and what Git says of both."""
    files = {}
    for directory, subdirectories, names in os.walk(path):
        if ".git" in subdirectories:
            subdirectories.remove(".git")
        links = [name for name in subdirectories if Path(directory, name).is_symlink()]
        for name in (*names, *links):
            file = Path(directory, name)
            mode = file.lstat().st_mode
            kind = "link" if stat.S_ISLNK(mode) else "executable" if mode & 0o100 else "regular"
            content = os.fsencode(file.readlink()) if kind == "link" else file.read_bytes()
            files[file.relative_to(path).as_posix()] = (kind, content)
    return files, git(path, "ls-files", "-s"), git(path, "status", "--porcelain")


# --- edits, as a person makes them


def _remove(place: Path) -> None:
    if place.is_symlink() or not place.is_dir():
        place.unlink(missing_ok=True)
    else:
        shutil.rmtree(place)


def _clear_way(root: Path, name: str) -> Path:
    """Make the parents of a file directories, whatever they are."""
    place = root / name
    for parent in reversed(list(Path(name).parents)[:-1]):
        if (root / parent).is_symlink() or not (root / parent).is_dir():
            _remove(root / parent)
            (root / parent).mkdir()
    _remove(place)
    return place


def _write(root: Path, name: str, text: str) -> None:
    _clear_way(root, name).write_text(text)


def _link(root: Path, name: str, text: str) -> None:
    _clear_way(root, name).symlink_to(f"sub-{text}")


def _make_executable(root: Path, name: str, text: str) -> None:
    _write(root, name, text)
    (root / name).chmod(0o755)


def _delete(root: Path, name: str, _text: str) -> None:
    if not any((root / parent).is_symlink() for parent in list(Path(name).parents)[:-1]):
        _remove(root / name) if os.path.lexists(root / name) else None


def _stage(root: Path, _name: str, _text: str) -> None:
    git(root, "add", "--all")


def _unstage(root: Path, _name: str, _text: str) -> None:
    git(root, "reset", "--quiet")


def _commit(root: Path, _name: str, text: str) -> None:
    git(root, "commit", "--quiet", "--all", "--allow-empty", "--message", text)


KNOWN = ["a.txt", "b.sh", "sub", "sub/c.txt", "sub/deep", "sub/deep/d.txt", "e.txt"]
CONTENTS = st.sampled_from(["1\n", "2\n", "3 \n4"])
CHANGES = [_write, _link, _make_executable, _delete, _stage, _unstage]
BEFORE = st.lists(
    st.tuples(st.sampled_from(CHANGES), st.sampled_from([*KNOWN, "new.txt", "sub/new"]), CONTENTS), max_size=6
)
AFTER = st.lists(st.tuples(st.sampled_from([*CHANGES, _commit]), st.sampled_from(KNOWN), CONTENTS), max_size=6)
Edits = list[tuple[Callable[[Path, str, str], None], str, str]]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(before=BEFORE, after=AFTER)
def test_restore_gives_back_what_was_submitted(before: Edits, after: Edits) -> None:
    """Whatever was edited before and after, by force every file, mode, deletion, link and index entry is as submitted.

    And what was there before the restore comes back in the same way.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = a_repository(Path(directory) / "project", FILES)
        for edit, name, text in before:
            edit(path, name, text)
        submitted = picture_of(path)
        captured = _submit(path)
        for edit, name, text in after:
            edit(path, name, text)
        edited = picture_of(path)

        done = _restore(path, captured, force=True)

        new = {name: file for name, file in picture_of(path)[0].items() if name in done.left}
        assert ({**submitted[0], **new}, submitted[1]) == picture_of(path)[:2]
        if not new and not any(edit is _commit for edit, _, _ in after):
            assert picture_of(path) == submitted
        if done.kept_rev is not None:
            _restore(path, (done.kept_rev, done.kept_rev))
            assert picture_of(path) == edited


def test_restore_changes_nothing_where_nothing_changed(path: Path) -> None:
    """What is as captured is not written again: not one file gets another inode or time."""
    write_files(path, {"a.txt": "edited\n", "new.txt": "new\n"})
    git(path, "status")
    captured = _submit(path)
    before = {name: file for name, file in everything_of(path).items() if not name.startswith(".git/")}

    done = _restore(path, captured)

    assert (done.written, done.removed, done.left, done.kept_rev) == ((), (), (), None)
    assert {name: file for name, file in everything_of(path).items() if not name.startswith(".git/")} == before


def test_newer_edits_are_named_and_nothing_is_changed(path: Path) -> None:
    """Without force not a byte is written while one file, or the index alone, holds what nobody keeps."""
    write_files(path, {"a.txt": "captured\n"})
    captured = _submit(path)
    write_files(path, {"a.txt": "newer\n", "b.sh": "staged\n"})
    git(path, "add", "b.sh")
    write_files(path, {"b.sh": FILES["b.sh"]})
    (path / "e.txt").unlink()
    before = everything_of(path)

    with pytest.raises(NewerEdits) as refused:
        _restore(path, captured)

    assert refused.value.paths == ("a.txt", "b.sh")
    assert everything_of(path) == before
    assert git(path, "for-each-ref", "refs/expd/restored") == ""


def test_what_somebody_keeps_is_overwritten_unasked(path: Path) -> None:
    """Content of HEAD, of the point's own tree and of the entry's result is no edit that could be lost."""
    write_files(path, {"a.txt": "captured\n", "e.txt": "captured\n", "b.sh": "captured\n"})
    captured = _submit(path)
    write_files(path, {"a.txt": "result\n"})
    result = Rev(git(path, "commit-tree", "-p", "HEAD", "-m", "result", _tree_now(path)))
    (path / "e.txt").write_text(FILES["e.txt"])
    write_files(path, {"b.sh": "committed since\n"})
    git(path, "commit", "--quiet", "--message", "since", "b.sh")

    done = _restore(path, captured, result=result)

    assert done.written == ("a.txt", "b.sh", "e.txt")
    assert {(path / name).read_text() for name in done.written} == {"captured\n"}
    assert (done.kept_rev, done.head_rev == done.baseline_rev) == (None, False)


def _tree_now(path: Path) -> str:
    return capture_workspace(Repository(path / ".git")).files_tree


def test_by_force_newer_edits_are_kept_first(path: Path) -> None:
    """What was there is an ordinary stash commit under a ref of ours, and restoring that needs no force."""
    captured = _submit(path)
    write_files(path, {"a.txt": "staged\n"})
    git(path, "add", "a.txt")
    write_files(path, {"a.txt": "newer\n", "new.txt": "untracked\n"})
    edited = picture_of(path)

    done = _restore(path, captured, force=True)

    assert done.kept_rev is not None
    assert (
        git(path, "for-each-ref", "--format=%(refname)", "refs/expd/restored") == f"refs/expd/restored/{done.kept_rev}"
    )
    assert git(path, "show", f"{done.kept_rev}:a.txt") == "newer"
    assert git(path, "show", f"{done.kept_rev}^2:a.txt") == "staged"
    assert (path / "a.txt").read_text() == "a\n"
    _restore(path, (done.kept_rev, done.kept_rev))
    assert picture_of(path) == edited


def test_new_files_are_left_alone_and_named(path: Path) -> None:
    """What was made since stays, tracked or not."""
    captured = _submit(path)
    write_files(path, {"new.txt": "new\n", "sub/tracked.txt": "t\n"})
    git(path, "add", "sub/tracked.txt")

    done = _restore(path, captured)

    assert done.left == ("new.txt", "sub/tracked.txt")
    assert (path / "sub/tracked.txt").read_text() == "t\n"


def test_ignored_content_in_the_way_is_an_edit(path: Path) -> None:
    """That Git ignores a file now doesn't let it be overwritten unseen."""
    write_files(path, {"notes.txt": "captured\n"})
    captured = _submit(path)
    write_files(path, {"notes.txt": "ignored now\n", ".git/info/exclude": "notes.txt\n"})

    with pytest.raises(NewerEdits) as refused:
        _restore(path, captured)
    done = _restore(path, captured, force=True)

    assert refused.value.paths == ("notes.txt",)
    assert git(path, "show", f"{done.kept_rev}:notes.txt") == "ignored now"
    assert (path / "notes.txt").read_text() == "captured\n"


def test_nothing_is_written_through_a_link(path: Path, tmp_path: Path) -> None:
    """A directory that has become a link out of the repository is made a directory again, and what it led to stays."""
    captured = _submit(path)
    outside = tmp_path / "outside"
    shutil.move(path / "sub", outside)
    (outside / "c.txt").write_text("theirs\n")
    (path / "sub").symlink_to(outside)

    _restore(path, captured, force=True)

    assert (outside / "c.txt").read_text() == "theirs\n"
    assert not (path / "sub").is_symlink()
    assert (path / "sub/c.txt").read_text() == "c\n"


def test_a_repository_in_the_way_is_not_touched(path: Path) -> None:
    """Where a file was, a clone stands now: no force removes a history."""
    captured = _submit(path)
    (path / "a.txt").unlink()
    a_repository(path / "a.txt", {"x": "x"})

    with pytest.raises(CannotRestore) as refused:
        _restore(path, captured, force=True)

    assert refused.value.path == "a.txt"
    assert (path / "a.txt/x").read_text() == "x"


def test_line_endings_are_those_of_a_checkout(path: Path) -> None:
    """A file whose attributes ask for CRLF gets it, by the attributes that were captured."""
    write_files(path, {".gitattributes": "*.txt text eol=crlf\n"})
    (path / "a.txt").write_bytes(b"one\r\ntwo\r\n")
    captured = _submit(path)
    (path / ".gitattributes").unlink()
    (path / "a.txt").write_bytes(b"one\ntwo\n")

    _restore(path, captured, force=True)

    assert (path / "a.txt").read_bytes() == b"one\r\ntwo\r\n"
    assert (path / "e.txt").read_bytes() == b"e\r\n"


def test_an_interrupted_restore_can_be_done_again(path: Path) -> None:
    """Half of the files written, a temporary name left, the index not yet: the next one finishes, without force."""
    write_files(path, {"a.txt": "captured\n", "e.txt": "captured\n"})
    git(path, "add", "e.txt")
    submitted = picture_of(path)
    captured = _submit(path)
    git(path, "reset", "--quiet", "--hard")
    (path / "a.txt").write_text("captured\n")
    (path / f"{TEMPORARY_PREFIX}0123456789abcdef").write_text("half")

    done = _restore(path, captured)

    (path / f"{TEMPORARY_PREFIX}0123456789abcdef").unlink()
    assert (done.written, done.left) == (("e.txt",), ())
    assert picture_of(path) == submitted


def test_a_locked_index_is_told_before_anything_is_written(path: Path) -> None:
    """A Git command at work is waited for by the user, not run over."""
    captured = _submit(path)
    (path / "a.txt").unlink()
    (path / ".git/index.lock").touch()

    with pytest.raises(RefLocked) as refused:
        _restore(path, captured)

    assert refused.value.path == str(path / ".git/index.lock")
    assert not (path / "a.txt").exists()


def test_an_unfinished_merge_is_refused(path: Path) -> None:
    """The index of a merge holds what no tree can."""
    captured = _submit(path)
    write_files(path, {".git/MERGE_HEAD": git(path, "rev-parse", "HEAD") + "\n"})

    with pytest.raises(UnfinishedMerge):
        _restore(path, captured)


def test_a_sparse_checkout_is_refused(path: Path) -> None:
    """What is left out there would look deleted."""
    captured = _submit(path)
    git(path, "config", "core.sparseCheckout", "true")

    with pytest.raises(CannotRestore):
        _restore(path, captured)
