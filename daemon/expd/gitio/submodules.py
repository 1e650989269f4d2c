"""Submodules: which a workspace has checked out, and in whose object store the commit of one is found later.

A submodule's history lies in its own repository. What was captured of it is a commit there, which the gitlink of the
superproject's tree names; nothing else remembers where that repository is, so it is looked for where Git has it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import FileMode
from pygit2.ffi import C

from expd.gitio.errors import GitFailed
from expd.gitio.indexfile import index_bytes, may_hold_gitlink
from expd.gitio.locate import common_directory_of
from expd.gitio.repository import Repository, git_errors
from expproto.vocabulary import Rev

_GIT = ".git"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submodule:
    """One submodule of a tree: its path from the top, the user's repository of it, and the commit that is meant.

    One that is `in_place` is the user's own checkout, with the Git directory where the user's Git has it.
    """

    path: str
    git_directory: Path
    rev: Rev
    in_place: bool = False


class SubmoduleLost(GitFailed):
    """The commit of a submodule is in no repository that could be its own."""

    def __init__(self, path: str, rev: Rev) -> None:
        super().__init__(
            f"commit {rev} of submodule {path} is not in its repository; `git submodule update --init {path}` brings it"
        )


def gitlinks_of_index(repository: Repository) -> list[str]:
    """List the paths that the index has as submodules, checked out or not."""
    with git_errors("the index can't be read"):
        if not may_hold_gitlink(index_bytes(Path(repository.handle.path))):
            return []
        index = repository.handle.index
        index.read(force=False)
        return [path for path, _rev in _gitlinks(index)]


def _gitlinks(index: pygit2.Index) -> list[tuple[str, Rev]]:
    raw = index._index  # noqa: SLF001 - pygit2 makes an object of every entry; its mode alone is asked here
    numbers = [number for number in range(len(index)) if C.git_index_get_byindex(raw, number).mode == FileMode.COMMIT]
    return [(os.fspath(index[number].path), Rev(str(index[number].id))) for number in numbers]


def _gitlinks_of_tree(repository: Repository, tree: Rev) -> list[tuple[str, Rev]]:
    with git_errors(f"tree {tree} can't be read"):
        index = pygit2.Index()
        index.read_tree(repository.handle[tree].peel(pygit2.Tree))
        return _gitlinks(index)


def is_checked_out(place: Path) -> bool:
    """Tell whether a submodule's directory has a repository in it; without one it is empty, or Git looks at nothing."""
    return not place.is_symlink() and os.path.lexists(place / _GIT)


def is_shallow(git_directory: Path) -> bool:
    """Tell whether a repository lacks the history before some commit."""
    return (common_directory_of(git_directory) / "shallow").exists()


def open_checked_out(place: Path) -> Repository:
    """Open the repository whose work tree is `place`; raises GitFailed if there is none, or if it has another one."""
    repository = Repository(place / _GIT)
    if repository.handle.is_bare or Path(repository.handle.workdir).resolve() != place.resolve():
        raise GitFailed(f"{repository.handle.path} is the Git directory of another work tree")
    return repository


def submodules_of(repository: Repository, tree: Rev, workspace: Path | None, prefix: str = "") -> Iterator[Submodule]:
    """Find the submodules that a tree names, outer ones first, those in submodules with them.

    One that neither the workspace nor the Git directory has a repository of is passed over: it was not checked out.
    Raises SubmoduleLost for one whose repository lacks the commit.
    """
    for path, rev in _gitlinks_of_tree(repository, tree):
        place = None if workspace is None else workspace / path
        git_directory = _find(repository, place, path, rev)
        if git_directory is not None:
            yield Submodule(path=prefix + path, git_directory=git_directory, rev=rev)
            inner = Repository(git_directory)
            yield from submodules_of(inner, inner.tree_of(rev), place, f"{prefix}{path}/")


def _find(repository: Repository, place: Path | None, path: str, rev: Rev) -> Path | None:
    """Look for a commit in the submodule that is checked out at `place`, then in those that Git keeps (`modules/`)."""
    found = False
    common = repository.common_directory
    for candidate in _candidates(common, place, path):
        try:
            opened = Repository(candidate)
        except GitFailed:
            continue
        found = found or (place is not None and candidate == place / _GIT)
        if opened.has_object(rev):
            return Path(opened.handle.path)
    if found:
        raise SubmoduleLost(path, rev)
    return None


def _candidates(common: Path, place: Path | None, path: str) -> Iterator[Path]:
    if place is not None and is_checked_out(place):
        yield place / _GIT
    yield common / "modules" / path
    yield from _kept(common / "modules")
    linked = common / "worktrees"
    for worktree in sorted(linked.iterdir()) if linked.is_dir() else ():
        yield from _kept(worktree / "modules")


def _kept(directory: Path) -> Iterator[Path]:
    """List the Git directories that Git keeps for submodules: a name may have slashes, so they are not all at one depth."""
    if not directory.is_dir():
        return
    for below in sorted(directory.iterdir()):
        if (below / "HEAD").is_file():
            yield below
        elif below.is_dir():
            yield from _kept(below)
