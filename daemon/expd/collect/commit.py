"""A worktree after its run → the experiment commit: tracked files as they are, and what the stages declare.

What a run did inside a submodule is a commit in that one's repository, which the experiment's tree names.

The rules are DVC's (`git add -u`, then dvc.yaml, dvc.lock, non-cached outputs and dependencies of the stages that were
gone through). A command without a pipeline declares nothing, so every new file that Git does not ignore is its result.
"""

import os
import shlex
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from expd.gitio.filters import Keep
from expd.gitio.packing import blob_rev
from expd.gitio.refs import keep_commit
from expd.gitio.repository import REGULAR, SUBMODULE, Repository, TreeFile
from expd.gitio.slots import Slots
from expd.gitio.submodules import Submodule
from expd.pipeline.cache import Cache
from expd.pipeline.hashing import Hasher
from expd.pipeline.locations import is_private_to_dvc
from expproto.vocabulary import Rev

GIT_FILE_BYTES_MAX = 16 * 1024 * 1024
"""Larger files made by a plain command go to the cache, as `dvc add` would have it: a Git object is for ever."""
_KEPT_BYTES_MAX = 32 * 1024 * 1024
"""Held in memory until they are written together; what comes after that is written at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """What a run left, as paths relative to the worktree: `touched` and `deleted` were checked out, `made` were not.

    `made` may name directories, and things that do not exist; what was `copied` into the worktree is passed over;
    `cached_by_size` sends large files to the cache.
    """

    touched: Sequence[str]
    deleted: Sequence[str]
    made: Sequence[str]
    cached_by_size: bool = False
    copied: Container[str] = ()
    is_untouched: Callable[[str], bool] = lambda _path: False
    """Tells of what was checked out that it is for certain still the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitOrder:
    """The commit to make: its parent, the tree that was checked out, and its message."""

    baseline_rev: Rev
    stash_tree: Rev
    message: str
    at: float
    submodules: Sequence[Submodule] = ()
    """Those that stand in the worktree, outer ones first."""


def commit_experiment(
    worktree: Path, repository: Repository, harvest: Harvest, order: CommitOrder, cache: Cache
) -> Rev:
    """Store what a run left in the user's objects and commit it; no ref moves.

    Raises GitFailed; doing it again after GitDisturbed gives the same commit. What is small is written together with the commit.
    """
    with repository.together():
        changes = _changes(worktree, repository, harvest, order, cache)
        for submodule in reversed(order.submodules):
            _commit_submodule(submodule, changes)
        tree = repository.edit_tree(order.stash_tree, changes)
        commit = repository.write_commit(tree, [order.baseline_rev], order.message, repository.identity(order.at))
    repository.check_present(order.baseline_rev, [commit])
    return commit


def _changes(
    worktree: Path, repository: Repository, harvest: Harvest, order: CommitOrder, cache: Cache
) -> dict[str, TreeFile | None]:
    """Store the files, and give what each path of the stash tree becomes."""
    slots = Slots(worktree, repository, order.submodules)
    keeping = _Keeping(repository, order.stash_tree, harvest.touched)
    changes: dict[str, TreeFile | None] = dict.fromkeys(harvest.deleted)
    touched = {path: slots.store_file(path, keeping.keep) for path in harvest.touched}
    changes |= touched
    changes |= dict.fromkeys(_private_by_capture(repository, order))
    for path in _files_below(worktree, harvest.made, slots.is_ignored):
        if path in harvest.copied or path in touched or harvest.is_untouched(path):
            continue
        if harvest.cached_by_size and _is_large(worktree / path) and not slots.is_kept_by_lfs(path):
            path, content = _pointer(worktree, path, cache)  # noqa: PLW2901 - the pointer stands for the file from here on
            changes[path] = TreeFile(rev=repository.write_blob(content), mode=REGULAR)
        else:
            changes[path] = slots.store_file(path, keeping.keep)
    return changes


class _Keeping:
    """Files on their way into one piece of writing; what the stash tree has already is not written again."""

    def __init__(self, repository: Repository, stash_tree: Rev, paths: Sequence[str]) -> None:
        self._repository = repository
        self._bytes_kept = 0
        there = (repository.file_at(stash_tree, path) for path in paths)
        self._known = {file.rev for file in there if file is not None}

    @property
    def keep(self) -> Keep | None:
        """Give what takes a file's bytes; None where enough of them wait."""
        return self._keep if self._bytes_kept < _KEPT_BYTES_MAX else None

    def _keep(self, data: bytes) -> Rev:
        rev = blob_rev(data)
        if rev in self._known:
            return rev
        self._bytes_kept += len(data)
        return self._repository.write_blob(data)


def _commit_submodule(submodule: Submodule, changes: dict[str, TreeFile | None]) -> None:
    """Commit what a run did inside a submodule in that one's repository; `changes` then has its gitlink instead.

    The same files make the same commit, whenever it is made. What an experiment names is held there by a ref.
    """
    prefix = f"{submodule.path}/"
    inside = {path: changes.pop(path) for path in list(changes) if path.startswith(prefix)}
    if submodule.path in changes:  # the run removed it, or put a file in its place
        return
    repository, rev = Repository(submodule.git_directory), submodule.rev
    tree = repository.tree_of(rev)
    left = repository.edit_tree(tree, {path.removeprefix(prefix): file for path, file in inside.items()})
    if left != tree:
        message = f"expd: submodule {submodule.path} as a run left it"
        rev = repository.write_commit(left, [rev], message, repository.identity(repository.committed_at(rev)))
        changes[submodule.path] = TreeFile(rev=rev, mode=SUBMODULE)
    keep_commit(repository, rev)
    repository.check_present(submodule.rev, [rev])


def command_message(command: Sequence[str]) -> str:
    """Give the default message for a command without a pipeline."""
    return f"expd: {shlex.join(command)}"


def _private_by_capture(repository: Repository, order: CommitOrder) -> Iterable[str]:
    """Find DVC's private files that the capture took in because nothing ignored them."""
    baseline_tree = repository.tree_of(order.baseline_rev)
    for path in repository.changed_paths(baseline_tree, order.stash_tree):
        if is_private_to_dvc(path) and repository.file_at(baseline_tree, path) is None:
            yield path


def _files_below(worktree: Path, paths: Iterable[str], is_ignored: Callable[[str], bool]) -> Iterable[str]:
    """Walk the paths: a file is itself, a directory is what it holds and Git does not ignore."""
    for path in dict.fromkeys(paths):
        full = worktree / path
        if is_private_to_dvc(path):
            continue
        if full.is_dir() and not full.is_symlink():
            yield from _files_in(worktree, path, is_ignored)
        elif full.is_symlink() or full.is_file():
            yield path


def _files_in(worktree: Path, directory: str, is_ignored: Callable[[str], bool]) -> Iterable[str]:
    with os.scandir(worktree / directory) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        path = f"{directory}/{entry.name}"
        if entry.name == ".git" or is_private_to_dvc(path):
            continue
        if entry.is_dir(follow_symlinks=False):
            if not is_ignored(path + "/"):
                yield from _files_in(worktree, path, is_ignored)
        elif not is_ignored(path):
            yield path


def _is_large(path: Path) -> bool:
    return not path.is_symlink() and path.stat().st_size > GIT_FILE_BYTES_MAX


def _pointer(worktree: Path, path: str, cache: Cache) -> tuple[str, bytes]:
    """Store a file in the cache; gives path and text of the .dvc file that stands for it (DVC's `outs` form)."""
    content = Hasher().content(str(worktree / path))
    assert content is not None
    fingerprint = content.fingerprint
    cache.store_files([(worktree / path, fingerprint)])
    name = PurePosixPath(path).name
    executable = "  isexec: true\n" if fingerprint.isexec else ""
    md5 = fingerprint.md5 if fingerprint.md5.strip("0123456789e") else _quoted(fingerprint.md5)  # else YAML's number
    text = f"outs:\n- md5: {md5}\n  size: {fingerprint.size}\n{executable}  hash: md5\n  path: {_quoted(name)}\n"
    return f"{path}.dvc", text.encode("utf-8", "surrogateescape")


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
