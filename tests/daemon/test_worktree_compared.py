"""A worktree that is brought from one commit to the next by comparing their trees is what listing both makes of it."""

import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.pictures import Picture, picture_of
from daemon.test_worktree import Vandal
from expd.execute.manifest import load_manifest, save_manifest
from expd.execute.worktree import check_out, make_slot, remove_tree
from expd.gitio.repository import EMPTY_TREE, EXECUTABLE, LINK, REGULAR, Identity, Repository, TreeFile
from expd.gitio.slot import lay_git_directory
from expd.gitio.slots import Slots
from expproto.vocabulary import Rev
from helpers.repositories import a_repository, git
from helpers.waiting import eventually

NOBODY = Identity(name="nobody", email="nobody@example.org", at=0.0)
NAMES = ("a", "b", "dir", "caf\udce9", ".gitattributes")
CONTENTS = (b"one\n", b"two\n", b"", b"* text eol=crlf\n", b"a text eol=crlf\n")

_files = st.tuples(st.sampled_from([REGULAR, EXECUTABLE, LINK]), st.sampled_from(CONTENTS[:3]))
_leaves = st.dictionaries(st.sampled_from(NAMES[:4]), _files, max_size=4)
_trees = st.recursive(
    _leaves,
    lambda below: st.dictionaries(st.sampled_from(NAMES[:4]), st.one_of(_files, below), max_size=4),
    max_leaves=8,
)
_attributes = st.sampled_from([None, *CONTENTS[3:]])


def _flatten(node: object, prefix: str = "") -> Iterator[tuple[str, tuple[int, bytes]]]:
    assert isinstance(node, dict)
    for name, item in node.items():
        if isinstance(item, dict):
            yield from _flatten(item, f"{prefix}{name}/")
        else:
            yield prefix + name, item


def _commit(repository: Repository, node: object, attributes: bytes | None) -> Rev:
    """Commit a tree of files; the targets of links can't be empty."""
    found = dict(_flatten(node))
    if attributes is not None:
        found[".gitattributes"] = (REGULAR, attributes)
    files = {
        path: TreeFile(rev=repository.write_blob(content or (b"nowhere" if mode == LINK else b"")), mode=int(mode))
        for path, (mode, content) in found.items()
    }
    return repository.write_commit(repository.edit_tree(EMPTY_TREE, files), [], "files", NOBODY)


def _check_out(worktree: Path, project: Path, commit: Rev) -> None:
    """Do it as for a run."""
    repository = Repository(project / ".git")
    make_slot(worktree)
    remove_tree(worktree / ".git")
    lay_git_directory(worktree, repository, commit)
    check_out(worktree, Slots(worktree, repository).wanted(commit))


def _check_out_aged(worktree: Path, project: Path, commit: Rev) -> None:
    """Check out, and let the manifest be of a time when everything was older than it."""
    _check_out(worktree, project, commit)
    written_ns = time.time_ns()
    eventually(lambda: time.time_ns() > written_ns + 40_000_000, "the clock goes on")
    save_manifest(worktree, replace(load_manifest(worktree), stamped_ns=time.time_ns()))


def _picture(worktree: Path) -> Picture:
    """Picture a worktree without its Git directory."""
    picture = picture_of(worktree)
    return {path: seen for path, seen in picture.items() if path and path != ".git" and not path.startswith(".git/")}


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository that takes any number of commits without a branch."""
    return a_repository(tmp_path_factory.mktemp("compared") / "project")


@settings(max_examples=25, deadline=None)
@given(
    first=st.tuples(_trees, _attributes),
    second=st.tuples(_trees, _attributes),
    chance=st.randoms(use_true_random=False),
    rounds=st.integers(0, 6),
)
def test_a_compared_worktree_equals_a_fresh_one(
    project: Path,
    first: tuple[object, bytes | None],
    second: tuple[object, bytes | None],
    chance: random.Random,
    rounds: int,
) -> None:
    """From any commit to any other, after any damage between: bytes, modes and links are those of a fresh checkout."""
    with tempfile.TemporaryDirectory() as place:
        slot, outside = Path(place, "slot"), Path(place, "outside")
        outside.mkdir()
        (outside / "precious").write_text("precious\n")
        repository = Repository(project / ".git")
        old, new = (_commit(repository, *each) for each in (first, second))
        _check_out_aged(slot, project, old)
        Vandal(slot, outside, chance).run(rounds)
        before = picture_of(outside)

        _check_out(slot, project, new)

        _check_out(Path(place, "fresh"), project, new)
        assert _picture(slot) == _picture(Path(place, "fresh"))
        assert picture_of(outside) == before
        assert dict(load_manifest(slot).files()) == repository.files_of(repository.tree_of(new))


@settings(max_examples=40, deadline=None)
@given(first=_trees, second=_trees)
def test_differences_of_trees_lead_from_one_list_to_the_other(project: Path, first: object, second: object) -> None:
    """What was listed of the old tree, with the differences applied, is what a list of the new one says."""
    repository = Repository(project / ".git")
    old, new = (repository.tree_of(_commit(repository, each, None)) for each in (first, second))

    differences = repository.file_differences(old, new)

    applied = {**repository.files_of(old), **differences}
    assert {path: file for path, file in applied.items() if file is not None} == repository.files_of(new)


def test_of_two_commits_only_what_differs_is_written(tmp_path: Path) -> None:
    """A file that both commits have keeps its inode; one that only the old one has is gone."""
    project = a_repository(tmp_path / "project", {"kept": "a\n", "sub/changed": "a\n", "old/gone": "a\n"})
    old = Rev(git(project, "rev-parse", "HEAD"))
    git(project, "rm", "--quiet", "old/gone")
    (project / "sub" / "changed").write_text("b\n")
    (project / "new").write_text("b\n")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "new")
    _check_out_aged(tmp_path / "slot", project, old)
    inodes = {name: (tmp_path / "slot" / name).stat().st_ino for name in ("kept", "sub")}

    _check_out(tmp_path / "slot", project, Rev(git(project, "rev-parse", "HEAD")))

    assert {name: (tmp_path / "slot" / name).stat().st_ino for name in inodes} == inodes
    assert sorted(str(path) for path in load_manifest(tmp_path / "slot").paths) == ["kept", "new", "sub/changed"]
    assert not (tmp_path / "slot" / "old").exists()


@pytest.mark.parametrize("setting", ["core.autocrlf", "info/attributes", "umask"])
def test_what_was_written_on_other_terms_is_written_again(tmp_path: Path, setting: str) -> None:
    """The same objects have other bytes or modes, where a setting of the repository or the umask has changed."""
    project = a_repository(tmp_path / "project", {"a.txt": "one\ntwo\n"})
    head = Rev(git(project, "rev-parse", "HEAD"))
    mask = os.umask(0o022)
    os.umask(mask)
    _check_out_aged(tmp_path / "slot", project, head)
    if setting == "core.autocrlf":
        git(project, "config", "core.autocrlf", "true")
    elif setting == "info/attributes":
        (project / ".git" / "info").mkdir(exist_ok=True)
        (project / ".git" / "info" / "attributes").write_text("*.txt text eol=crlf\n")

    with _umask(0o077 if setting == "umask" else mask):
        _check_out(tmp_path / "slot", project, head)
        _check_out(tmp_path / "fresh", project, head)

    assert _picture(tmp_path / "slot") == _picture(tmp_path / "fresh")
    assert setting == "umask" or (tmp_path / "slot" / "a.txt").read_bytes() == b"one\r\ntwo\r\n"


def test_a_tree_that_is_gone_is_listed_against(tmp_path: Path) -> None:
    """Where what was checked out is no longer in Git, the next commit is compared file by file, and is whole."""
    project = a_repository(tmp_path / "project", {"a": "one\n"})
    head = Rev(git(project, "rev-parse", "HEAD"))
    repository = Repository(project / ".git")
    lost = _commit(repository, {"a": (REGULAR, b"one\n"), "b": (REGULAR, b"two\n")}, None)
    _check_out_aged(tmp_path / "slot", project, lost)
    tree = repository.tree_of(lost)
    inode = (tmp_path / "slot" / "a").stat().st_ino
    (project / ".git" / "objects" / tree[:2] / tree[2:]).unlink()

    _check_out(tmp_path / "slot", project, head)

    assert {path.name for path in (tmp_path / "slot").iterdir()} == {".git", "a"}
    assert (tmp_path / "slot" / "a").stat().st_ino == inode
