"""The store of copied files, against real directories: what goes in comes out, and nothing is linked."""

from pathlib import Path

import pytest

from expd.pipeline import copies
from expd.pipeline.cache import Cache
from expd.pipeline.copies import copies_store, place_copies, store_copies
from expd.pipeline.memo import HashMemo
from expd.pipeline.model import MissingObjectError, PipelineError
from helpers.repositories import everything_of, write_files


@pytest.fixture
def store(tmp_path: Path) -> Cache:
    """Give an empty store."""
    (tmp_path / "git").mkdir()
    return copies_store(tmp_path / "git")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Give a workspace with files of every kind."""
    write_files(tmp_path / "here", {"a/one": "1\n", "a/deep/two": "2\n", "a/empty": "", "single": "s\n", "kept": "k\n"})
    (tmp_path / "here" / "a" / "one").chmod(0o750)
    (tmp_path / "here" / "a" / "dangling").symlink_to("../nowhere")
    (tmp_path / "here" / "a" / "nothing").mkdir()
    (tmp_path / "here" / "alias").symlink_to("a")
    (tmp_path / "there").mkdir()
    (tmp_path / "next").mkdir()
    return tmp_path / "here"


def test_what_was_stored_is_placed(workspace: Path, store: Cache, tmp_path: Path) -> None:
    """Content, modes, links and empty directories arrive; the originals are not touched."""
    before = everything_of(workspace)

    listing = store_copies(workspace, ["a", "single"], (), store, HashMemo())
    placed = place_copies(listing, store, tmp_path / "there")

    there = tmp_path / "there"
    assert everything_of(workspace) == before
    assert placed == {"a/one", "a/deep/two", "a/empty", "a/dangling", "single"}
    assert {name: value[3] for name, value in everything_of(there).items()} == {
        "a/one": b"1\n", "a/deep/two": b"2\n", "a/empty": b"", "a/dangling": b"../nowhere", "single": b"s\n",
    }  # fmt: skip
    assert (there / "a" / "one").stat().st_mode & 0o777 == 0o750
    assert (there / "a" / "nothing").is_dir()
    assert all((there / path).lstat().st_nlink == 1 for path in placed)


def test_a_write_in_the_worktree_does_not_reach_the_store(workspace: Path, store: Cache, tmp_path: Path) -> None:
    """A run that changes its copy changes nobody else's."""
    listing = store_copies(workspace, ["single"], (), store, HashMemo())
    place_copies(listing, store, tmp_path / "there")
    (tmp_path / "there" / "single").write_text("changed\n")
    place_copies(listing, store, tmp_path / "next")

    assert (tmp_path / "next" / "single").read_text() == "s\n"


def test_what_the_capture_holds_is_not_copied(workspace: Path, store: Cache, tmp_path: Path) -> None:
    """A tracked file in a copied directory comes from the capture, where overrides may have changed it."""
    listing = store_copies(workspace, ["a", "single"], {"a/one", "single"}, store, HashMemo())

    assert place_copies(listing, store, tmp_path / "there") == {"a/deep/two", "a/empty", "a/dangling"}


def test_a_link_that_is_named_stands_for_what_it_leads_to(workspace: Path, store: Cache, tmp_path: Path) -> None:
    """Naming a link to a directory copies the directory, under the link's name."""
    listing = store_copies(workspace, ["alias"], (), store, HashMemo())
    place_copies(listing, store, tmp_path / "there")

    assert not (tmp_path / "there" / "alias").is_symlink()
    assert (tmp_path / "there" / "alias" / "one").read_text() == "1\n"


def test_the_same_files_are_stored_once(workspace: Path, store: Cache) -> None:
    """A second submission adds no object."""
    first = store_copies(workspace, ["a"], (), store, HashMemo())
    objects = everything_of(store.directory)

    assert store_copies(workspace, ["a"], (), store, HashMemo()) == first
    assert everything_of(store.directory) == objects


def test_nothing_is_placed_through_a_link(workspace: Path, store: Cache, tmp_path: Path) -> None:
    """A captured link in the place of a directory is not followed: it may lead out of the worktree."""
    listing = store_copies(workspace, ["a"], (), store, HashMemo())
    (tmp_path / "outside").mkdir()
    (tmp_path / "there" / "a").symlink_to(tmp_path / "outside")

    with pytest.raises(PipelineError, match="a is a link or a file"):
        place_copies(listing, store, tmp_path / "there")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_store_that_lost_something_says_what(workspace: Path, store: Cache, tmp_path: Path) -> None:
    """A run whose files are gone is refused with the object's name, and not run without them."""
    listing = store_copies(workspace, ["single"], (), store, HashMemo())
    (content,) = (name for name in everything_of(store.directory) if not name.endswith(listing[2:]))
    (store.directory / content).unlink()

    with pytest.raises(MissingObjectError):
        place_copies(listing, store, tmp_path / "there")
    with pytest.raises(MissingObjectError, match="submit again"):
        place_copies("0" * 32, store, tmp_path / "there")


def test_too_many_files_are_refused(workspace: Path, store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped directory is not copied for an hour."""
    monkeypatch.setattr(copies, "COPIED_FILES_MAX", 2)

    with pytest.raises(PipelineError, match="at most 2 files"):
        store_copies(workspace, ["a"], (), store, HashMemo())
