"""Submodules are captured with the workspace they are in: each in its own repository, nested ones as well."""

import itertools
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from expd.gitio.errors import GitFailed
from expd.gitio.refs import ENTRIES
from expd.gitio.repository import Identity, Repository
from expd.gitio.submodules import submodules_of
from expd.prepare.capture import (
    Capture,
    UnusableSubmodule,
    capture_workspace,
    hold,
    keeper_of,
    let_go,
    stash_points,
)
from expd.prepare.newfiles import NewFileLimits, NewFilesTooLarge, chooser
from expproto.vocabulary import Rev
from helpers.repositories import a_project_with_submodules, a_repository, everything_of, git, write_files

IDENTITY = Identity(name="Ada", email="ada@example.org", at=1.0)
REQUEST = "request1"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the repositories once; Git's own commands for submodules are slow."""
    directory = tmp_path_factory.mktemp("template")
    a_project_with_submodules(directory)
    return directory


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    """Give a repository with a submodule `lib`, which has the submodule `lib/inner`."""
    shutil.copytree(template, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path / "project"


def _capture(path: Path) -> Capture:
    return capture_workspace(Repository(path / ".git"))


def _gitlink(path: Path, tree: str, name: str) -> str:
    return git(path, "rev-parse", f"{tree}:{name}")


def test_clean_submodules_are_their_heads(path: Path) -> None:
    """Where nothing was edited the tree is HEAD's, and each submodule is captured as the commit that is checked out."""
    capture = _capture(path)

    assert capture.files_tree == git(path, "rev-parse", "HEAD^{tree}")
    assert [(each.path, each.rev) for each in capture.submodules] == [
        ("lib/inner", git(path / "lib" / "inner", "rev-parse", "HEAD")),
        ("lib", git(path / "lib", "rev-parse", "HEAD")),
    ]


def test_another_commit_of_a_submodule_is_captured(path: Path) -> None:
    """What is checked out in the submodule is what the tree holds, whatever the index has."""
    git(path / "lib", "commit", "--quiet", "--allow-empty", "--message", "x")

    assert _gitlink(path, _capture(path).files_tree, "lib") == git(path / "lib", "rev-parse", "HEAD")


def _stage(lib: Path, name: str) -> None:
    write_files(lib, {name: "staged\n"})
    git(lib, "add", name)


EDITS: dict[str, Callable[[Path], object]] = {
    "edited": lambda lib: write_files(lib, {"s.txt": "edited\n"}),
    "new": lambda lib: write_files(lib, {"n/new.txt": "new\n"}),
    "staged": lambda lib: _stage(lib, "s.txt"),
    "deleted": lambda lib: (lib / "s.txt").unlink(),
    "executable": lambda lib: (lib / "s.txt").chmod(0o755),
    "edited in the inner one": lambda lib: write_files(lib, {"inner/i.txt": "edited\n"}),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("ignore", ["none", "all"])
def test_edits_in_a_submodule_are_a_stash_commit_there(path: Path, edit: Callable[[Path], object], ignore: str) -> None:
    """The gitlink names a commit that `git stash apply` takes, and nothing of the user's is touched; `ignore` says nothing."""
    git(path, "config", "submodule.lib.ignore", ignore)
    edit(path / "lib")
    before = everything_of(path)

    capture = _capture(path)

    assert everything_of(path) == before
    rev = _gitlink(path, capture.files_tree, "lib")
    assert git(path / "lib", "rev-parse", f"{rev}^1") == git(path / "lib", "rev-parse", "HEAD")
    clone = path.parent / "clone"
    git(path.parent, "clone", "--quiet", "--no-local", str(path.parent / "of-lib"), str(clone))
    git(clone, "fetch", "--quiet", str(path / "lib"), f"{rev}:refs/heads/fetched")
    git(clone, "stash", "apply", "--quiet", rev)
    git(clone, "add", "--all")
    assert git(clone, "ls-files", "--stage", "d", "s.txt", "n") == _stage_of(path / "lib", rev, "d", "s.txt", "n")


def _stage_of(repository: Path, rev: str, *names: str) -> str:
    listed = git(repository, "ls-tree", "-r", rev, *names).splitlines()
    fields = (line.split(maxsplit=3) for line in listed)
    return "\n".join(f"{mode} {found} 0\t{name}" for mode, _kind, found, name in fields)


def test_edits_in_a_nested_submodule_are_named_all_the_way_up(path: Path) -> None:
    """The commit of the inner one is in the tree of the outer one's, and that one in the superproject's."""
    write_files(path, {"lib/inner/i.txt": "edited\n"})

    capture = _capture(path)

    lib = _gitlink(path, capture.files_tree, "lib")
    inner = _gitlink(path / "lib", lib, "inner")
    assert git(path / "lib" / "inner", "show", f"{inner}:i.txt") == "edited"
    assert [each.rev for each in capture.submodules] == [inner, lib]


def test_the_same_edits_are_the_same_commit(path: Path) -> None:
    """Captured again, the tree is the same one: a result can be compared with another."""
    write_files(path, {"lib/s.txt": "edited\n"})

    assert _capture(path).files_tree == _capture(path).files_tree


def test_a_submodule_that_is_not_checked_out_stays_as_it_is(path: Path) -> None:
    """Its directory is empty in the workspace, so it is in the tree what the index says, and nothing is captured of it."""
    git(path, "submodule", "--quiet", "deinit", "--force", "lib")

    capture = _capture(path)

    assert capture.submodules == ()
    assert capture.files_tree == git(path, "rev-parse", "HEAD^{tree}")


@pytest.mark.parametrize("instead", [None, "file", "link"])
def test_a_submodule_that_is_gone_is_gone(path: Path, instead: str | None) -> None:
    """Removed, or with a file or link in its place, it is in the tree what `git add --all` would make of it."""
    shutil.rmtree(path / "lib")
    if instead == "file":
        write_files(path, {"lib": "a file now\n"})
    if instead == "link":
        (path / "lib").symlink_to("/etc")

    capture = _capture(path)

    git(path, "add", "--all")
    assert capture.files_tree == git(path, "write-tree")


def test_new_files_of_submodules_count_with_the_others(path: Path) -> None:
    """A secret in a submodule stays at home under its name from the top, and limits are for the whole."""
    write_files(path, {"lib/inner/.env": "T=1\n", "lib/new.txt": "12345", "new.txt": "12345"})
    limits = NewFileLimits(file_bytes_max=100, bytes_max=10, count_max=100)

    capture = capture_workspace(Repository(path / ".git"), chooser(path, limits, include=()))
    with pytest.raises(NewFilesTooLarge) as refused:
        capture_workspace(Repository(path / ".git"), chooser(path, limits, include=("lib/inner",)))

    assert capture.unchosen == ("lib/inner/.env",)
    assert {name for name, _size in refused.value.largest} == {"lib/inner/.env", "lib/new.txt", "new.txt"}


def test_a_repository_in_a_submodule_is_left_out_and_named(path: Path) -> None:
    """What nobody tracks has a history of its own, there as well."""
    a_repository(path / "lib" / "vendor", {"x": ""})

    assert _capture(path).left_out == ("lib/vendor/",)


def _without_git_directory(path: Path) -> None:
    shutil.rmtree(path / ".git" / "modules")


def _of_another(path: Path) -> None:
    git(path, "config", "--file", ".git/modules/lib/config", "core.worktree", str(path.parent))


def _in_a_merge(path: Path) -> None:
    lib = path / "lib"
    git(lib, "checkout", "--quiet", "-b", "other")
    git(lib, "commit", "--quiet", "--allow-empty", "--message", "x")
    git(lib, "checkout", "--quiet", "main")
    git(lib, "merge", "--quiet", "--no-ff", "--no-commit", "other")


def _without_a_commit(path: Path) -> None:
    git(path / "lib", "checkout", "--quiet", "--orphan", "fresh")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without_git_directory, "can't open"),
        (_of_another, "another work tree"),
        (_in_a_merge, "a merge is in progress"),
        (_without_a_commit, "no commit yet"),
    ],
)
def test_a_submodule_that_can_not_be_captured_is_named(path: Path, spoil: Callable[[Path], object], said: str) -> None:
    """What is wrong with a submodule is said with its path; there is no capture without it."""
    spoil(path)

    with pytest.raises(UnusableSubmodule) as refused:
        _capture(path)

    assert refused.value.path == "lib"
    assert said in refused.value.what


def _held(path: Path) -> tuple[Repository, Capture]:
    repository = Repository(path / ".git")
    capture = capture_workspace(repository)
    revs = stash_points(repository, capture, [("x", capture.files_tree)], IDENTITY)
    hold(repository, REQUEST, capture, revs, keeper_of(repository, capture, revs, IDENTITY))
    return repository, capture


def test_garbage_collection_in_submodules_takes_nothing_that_is_queued(path: Path) -> None:
    """After edits are undone and everything is collected everywhere, what was captured is still there, every object."""
    write_files(path, {"lib/s.txt": "edited\n", "lib/inner/i.txt": "edited\n"})

    _repository, capture = _held(path)
    for place in (path, path / "lib", path / "lib" / "inner"):
        git(place, "checkout", "--quiet", "--", ".")
        git(place, "reflog", "expire", "--expire=now", "--all")
        git(place, "gc", "--quiet", "--prune=now")

    for each in capture.submodules:
        assert git(path / each.path, "rev-parse", f"{ENTRIES}{REQUEST}") == each.rev
        git(path / each.path, "fsck", "--full", "--strict")
        git(path / each.path, "ls-tree", "-r", each.rev)


def test_what_is_given_up_is_given_up_everywhere(path: Path) -> None:
    """A submission that was refused after all leaves no ref, neither in the superproject nor in a submodule."""
    write_files(path, {"lib/s.txt": "edited\n", "lib/inner/i.txt": "edited\n"})
    repository, _capture_of = _held(path)

    let_go(repository, REQUEST)

    for place in (path, path / "lib", path / "lib" / "inner"):
        assert git(place, "for-each-ref", "refs/expd") == ""


def test_a_submodule_is_found_again_where_git_keeps_it(path: Path) -> None:
    """After its directory is gone from the workspace, its commit is found in the Git directory that stays behind."""
    write_files(path, {"lib/s.txt": "edited\n"})
    repository, capture = _held(path)
    shutil.rmtree(path / "lib")

    found = list(submodules_of(repository, capture.files_tree, path))

    assert [(each.path, each.rev) for each in found] == [(each.path, each.rev) for each in reversed(capture.submodules)]


def test_a_commit_that_no_submodule_has_is_named(path: Path) -> None:
    """A gitlink to a commit that was never fetched is an error that says what brings it."""
    git(path, "update-index", "--cacheinfo", f"160000,{'1' * 40},lib")
    lost = Rev(git(path, "write-tree"))

    with pytest.raises(GitFailed, match="git submodule update --init lib"):
        list(submodules_of(Repository(path / ".git"), lost, path))


def test_a_submodule_that_changes_while_the_rest_is_read_is_read_again(path: Path) -> None:
    """All of it is of one moment: an edit in a submodule that was read already is found, and taken."""
    write_files(path, {"new.txt": "asks the choice\n"})
    edits = itertools.count()

    def choose(paths: Sequence[str]) -> list[str]:
        if "new.txt" in paths and next(edits) == 0:
            write_files(path, {"lib/s.txt": "edited meanwhile\n"})
        return []

    capture = capture_workspace(Repository(path / ".git"), choose)

    assert git(path / "lib", "show", f"{_gitlink(path, capture.files_tree, 'lib')}:s.txt") == "edited meanwhile"


def test_a_head_that_moves_is_noticed(path: Path) -> None:
    """A commit made while files are read is the baseline of what is captured then, not the one before."""
    write_files(path, {"new.txt": "asks the choice\n", "a.txt": "edited\n"})
    commits = itertools.count()

    def choose(_paths: object) -> list[str]:
        if next(commits) == 0:
            subprocess.run(["git", "-C", path, "commit", "--quiet", "--all", "--message", "m"], check=True)
        return []

    capture = capture_workspace(Repository(path / ".git"), choose)

    assert capture.baseline_rev == git(path, "rev-parse", "HEAD")
    assert capture.index_tree == git(path, "rev-parse", "HEAD^{tree}")
