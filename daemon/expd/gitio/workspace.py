"""A work tree and its index → trees, in memory: neither the index file nor the work tree is written.

The user's own index is read for its stat data, so that a file Git knows to be unchanged is not read again; what
differs is stored as objects. Afterwards the same comparison must find nothing more to do, else a file changed while
it was read, and everything is read again.
"""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pygit2
from pygit2.enums import DeltaStatus, DiffOption, FileMode, RepositoryState
from pygit2.ffi import C, ffi

from expd.gitio.drivers import Drivers
from expd.gitio.errors import CannotCapture, GitDisturbed, GitFailed
from expd.gitio.indexfile import index_bytes, may_hold_name
from expd.gitio.repository import Repository, git_errors
from expproto.vocabulary import Rev

_READS_MAX = 8
"""Readings of a workspace that keeps changing before the capture refuses; the last one finds nothing to do."""
_PAUSE_SECONDS = 0.001
"""Before reading again, doubled each time: an editor saves a file in milliseconds, and 250 ms in all is patience enough."""

_RACY_NS = 20_000_000
"""20 ms: twice the coarsest tick with which Linux stamps files (CONFIG_HZ=100)."""

_SKIP_WORKTREE = 1 << 14
"""GIT_INDEX_ENTRY_SKIP_WORKTREE of an entry's extended flags."""

_ATTRIBUTES = b".gitattributes"

_EVERYTHING = (
    DiffOption.INCLUDE_UNTRACKED
    | DiffOption.RECURSE_UNTRACKED_DIRS
    | DiffOption.INCLUDE_TYPECHANGE
    | DiffOption.IGNORE_SUBMODULES
)
"""What is in a submodule is asked of the submodule; that one is gone, or a file now, is still told."""

NO_GITLINKS: Mapping[str, Rev] = MappingProxyType({})

Choose = Callable[[Sequence[str]], Collection[str]]
"""Given every new file that Git does not ignore, tells which to leave out; may raise. Asked before any of them is read."""


class WorkspaceChanging(CannotCapture):
    """A file changed each time it was read: `path`."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "it keeps changing")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceTrees:
    """A workspace of one moment: the tree of its index and the tree of its files (new unignored ones included)."""

    index_tree: Rev
    files_tree: Rev
    left_out: tuple[str, ...]
    """What has a history of its own: nested repositories that Git does not track."""
    unchosen: tuple[str, ...]
    """New files that were not wanted."""
    attribute_files: tuple[str, ...]
    """Every .gitattributes among the files."""
    has_same_index: Callable[[], bool]
    """Looks again whether the index still holds this; for as long as the repository is open."""
    has_same_files: Callable[[], bool]


def operation_in_progress(repository: Repository) -> str | None:
    """Name the merge, rebase or the like that is not finished, or None."""
    state = repository.handle.state()
    if repository.handle.index.conflicts is not None:
        return "merge with conflicts"
    return None if state == RepositoryState.NONE else RepositoryState(state).name.lower().replace("_", " ")


def take_all(_new_files: Sequence[str]) -> Collection[str]:
    """Leave nothing out."""
    return ()


def read_workspace(
    repository: Repository, choose: Choose = take_all, gitlinks: Mapping[str, Rev] = NO_GITLINKS
) -> WorkspaceTrees:
    """Store what the workspace holds, of new files what `choose` lets pass, of submodules the commit in `gitlinks`.

    Raises WorkspaceChanging, GitFailed naming the file that can't be read, and whatever `choose` raises.
    """
    with git_errors("the index can't be read"):
        stamp = _index_stamp(repository)
        index = repository.handle.index
        index.read(force=repository.is_index_edited)
        repository.is_index_edited = True
        may_have_attributes = may_hold_name(index_bytes(Path(repository.handle.path)), _ATTRIBUTES)
        index_tree = Rev(str(index.write_tree()))
        for path, rev in gitlinks.items():
            index.add(pygit2.IndexEntry(path, pygit2.Oid(hex=rev), FileMode.COMMIT))
    reading = _Reading(repository, index)
    left_out, unchosen = reading.take_all(choose)

    def has_same_index() -> bool:
        return _index_stamp(repository) == stamp or _index_tree(Path(repository.handle.path)) == index_tree

    def has_same_files() -> bool:
        return all(delta.new_file.path in unchosen for delta in reading.pending()[0])

    return WorkspaceTrees(
        index_tree=index_tree,
        files_tree=_write_tree(index),
        left_out=tuple(left_out),
        unchosen=tuple(sorted(unchosen)),
        attribute_files=_attribute_files(index) if may_have_attributes or reading.has_taken_attributes else (),
        has_same_index=has_same_index,
        has_same_files=has_same_files,
    )


class _Reading:
    """One index in memory that is brought up to the files."""

    def __init__(self, repository: Repository, index: pygit2.Index) -> None:
        self._index = index
        self._handle = repository.handle
        self._drivers = Drivers(repository)
        self._worktree = Path(repository.handle.workdir)
        self._cleaned: dict[str, _Cleaned] = {}
        self.has_taken_attributes = False

    def take_all(self, choose: Choose) -> tuple[list[str], set[str]]:
        """Take until nothing is left to take; gives what other repositories hold, and what was not wanted."""
        failure: GitFailed | None = None
        pending: list[pygit2.DiffDelta] = []
        new: set[str] = set()
        for reading in range(_READS_MAX):
            if reading > 1:  # the second reading finds nothing more where nobody writes
                time.sleep(_PAUSE_SECONDS * 2**reading)
            try:
                pending, left_out = self.pending()
            except GitDisturbed:
                raise
            except GitFailed as failed:  # a file that shrinks while it is hashed can't be read to the end that it had
                failure = failed
                continue
            new.update(delta.new_file.path for delta in pending if delta.status == DeltaStatus.UNTRACKED)
            unchosen = set(choose(sorted(new)))
            pending = [delta for delta in pending if delta.new_file.path not in unchosen]
            if not pending:
                return left_out, unchosen
            failures = [self._take(delta) for delta in pending]
            failure = next((failed for failed in failures if failed is not None), None)
        raise failure or WorkspaceChanging(pending[0].new_file.path)

    def pending(self) -> tuple[list[pygit2.DiffDelta], list[str]]:
        """Compare the index in memory with the files: what is to be taken, and what other repositories hold."""
        with git_errors("the workspace can't be read"):
            deltas = list(self._index.diff_to_workdir(_EVERYTHING).deltas)
        left_out = [delta.new_file.path for delta in deltas if _has_own_history(delta)]
        return [delta for delta in deltas if not self._is_settled(delta)], left_out

    def _is_settled(self, delta: pygit2.DiffDelta) -> bool:
        """Tell whether there is nothing to take, though libgit2 finds a difference."""
        if delta.status == DeltaStatus.DELETED:
            return self._is_skipped(delta.new_file.raw_path)
        return _has_own_history(delta) or self._is_cleaned(delta)

    def _is_skipped(self, path: bytes) -> bool:
        """Tell whether a file is not checked out on purpose (`git sparse-checkout`): libgit2 calls it deleted."""
        entry = C.git_index_get_bypath(self._index._index, path, 0)  # noqa: SLF001 - pygit2 gives no flags
        return entry != ffi.NULL and bool(entry.flags_extended & _SKIP_WORKTREE)

    def _take(self, delta: pygit2.DiffDelta) -> GitFailed | None:
        """Bring one file's present content into the index; a file that has vanished since is a deletion.

        Gives what went wrong, if anything did: a file that is written at this moment is read again with the next reading.
        """
        path = delta.new_file.path
        self.has_taken_attributes |= delta.new_file.raw_path.endswith(_ATTRIBUTES)
        try:
            if delta.status == DeltaStatus.DELETED:
                self._index.remove(path)
            elif not self._clean(delta):
                self._index.add(path)
        except (KeyError, FileNotFoundError):
            if path in self._index:
                self._index.remove(path)
        except GitFailed as failed:
            return failed
        except (pygit2.GitError, OSError, ValueError) as error:
            return GitFailed(f"{path} can't be read: {error}")
        return None

    def _clean(self, delta: pygit2.DiffDelta) -> bool:
        """Take a file that has a filter driver; False if it has none."""
        path = delta.new_file.path
        if delta.new_file.mode not in {FileMode.BLOB, FileMode.BLOB_EXECUTABLE}:
            return False
        now, stamp = time.time_ns(), _file_stamp(self._worktree / path)
        rev = self._drivers.clean(self._handle, self._worktree, path)
        if rev is None:
            return False
        known = self._cleaned.get(path)
        is_certain = now - max(stamp[2:]) > _RACY_NS or (known is not None and (known.stamp, known.rev) == (stamp, rev))
        self._cleaned[path] = _Cleaned(stamp=stamp, rev=rev, is_certain=is_certain)
        self._index.add(pygit2.IndexEntry(path, pygit2.Oid(hex=rev), delta.new_file.mode))
        return True

    def _is_cleaned(self, delta: pygit2.DiffDelta) -> bool:
        """Tell whether a file is what was taken of it: libgit2 compares its bytes with those that its driver made."""
        known = self._cleaned.get(delta.new_file.path)
        if known is None or not known.is_certain:
            return False
        try:
            return known.stamp == _file_stamp(self._worktree / delta.new_file.path)
        except OSError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cleaned:
    """What a driver made of a file that had this stamp; certain once an edit would have changed the stamp."""

    stamp: tuple[int, int, int, int]
    rev: Rev
    is_certain: bool


def _file_stamp(path: Path) -> tuple[int, int, int, int]:
    status = path.lstat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _attribute_files(index: pygit2.Index) -> tuple[str, ...]:
    """Find the files that give attributes, without an object for each of ten thousand entries."""
    raw = index._index  # noqa: SLF001 - see gitio.submodules
    paths = (bytes(ffi.string(C.git_index_get_byindex(raw, number).path)) for number in range(len(index)))
    return tuple(os.fsdecode(path) for path in paths if path.endswith(_ATTRIBUTES))


def _index_stamp(repository: Repository) -> tuple[int, int, int] | None:
    """Tell one index file from the next: Git writes it anew and renames it."""
    try:
        status = Path(repository.handle.path, "index").stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _index_tree(git_directory: Path) -> Rev:
    """Write the tree of the index as another handle reads it: one that was only refreshed holds what it held."""
    with git_errors("the index can't be read"):
        return Rev(str(Repository(git_directory).handle.index.write_tree()))


def ignored_paths(repository: Repository) -> list[str]:
    """List what Git ignores, a directory that is ignored whole as one path ending in a slash."""
    with git_errors("the workspace can't be read"):
        index = repository.handle.index
        index.read()
        deltas = index.diff_to_workdir(DiffOption.INCLUDE_IGNORED).deltas
        return sorted(os.fsdecode(delta.new_file.raw_path) for delta in deltas if delta.status == DeltaStatus.IGNORED)


def _has_own_history(delta: pygit2.DiffDelta) -> bool:
    """Tell whether a new path is another repository, which no tree of this one can hold."""
    return delta.status == DeltaStatus.UNTRACKED and delta.new_file.path.endswith("/")


def _write_tree(index: pygit2.Index) -> Rev:
    with git_errors("the tree of the workspace can't be written"):
        return Rev(str(index.write_tree()))
