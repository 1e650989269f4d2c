"""A user's workspace before and while it is written: what is there now, and the index under Git's own lock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pygit2

from expd.gitio.drivers import Drivers
from expd.gitio.errors import RefLocked
from expd.gitio.filters import checked_out, stored
from expd.gitio.repository import Repository, TreeFile, git_errors
from expd.gitio.workspace import read_workspace
from expproto.vocabulary import Rev


class IndexChanging(Exception):
    """Somebody changed the index meanwhile; it was left as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What is there now: the tree of the index, that of the files it tracks, and what is new and not ignored."""

    index_tree: Rev
    files_tree: Rev
    tracked: Mapping[str, TreeFile]
    new: Sequence[str]


class UsersWorkspace:
    """The work tree of a repository that was opened at it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.directory = Path(repository.handle.workdir).resolve()
        self._drivers = Drivers(repository)

    def read(self) -> Present:
        """Store what is tracked as it is now, of new files only their names; raises what capturing raises."""
        trees = read_workspace(self._repository, lambda new_files: new_files)
        return Present(
            index_tree=trees.index_tree,
            files_tree=trees.files_tree,
            tracked=self._repository.files_of(trees.files_tree),
            new=trees.unchosen,
        )

    def store(self, path: str) -> TreeFile | None:
        """Store one file as it is now; None if it is neither a regular file nor a link."""
        return stored(self._repository.handle, self._drivers, self.directory, path)

    def content_of(self, file: TreeFile, path: str, commit: Rev) -> bytes:
        """Give a file's bytes as a checkout of `commit` writes them."""
        kept = self._drivers.content_of(self._repository.handle, file, path, commit)
        return checked_out(self._repository.handle, file, path, commit) if kept is None else kept.read_bytes()

    def check_index_is_free(self) -> None:
        """Raise RefLocked while a Git command works on the index."""
        lock = Path(self._repository.handle.path, "index.lock")
        if lock.exists():
            raise RefLocked("the index", str(lock), "a Git command works on it")

    def write_index(self, tree: Rev, expected: Rev) -> None:
        """Let the index hold a tree, under its lock; raises IndexChanging if it does not hold `expected` any more."""
        self.check_index_is_free()
        with git_errors("the index can't be written"):
            index = self._repository.handle.index
            index.read()
            if Rev(str(index.write_tree())) != expected:
                raise IndexChanging
            index.read_tree(self._repository.handle[tree].peel(pygit2.Tree))
            index.write()
