"""A worktree with the submodules in it: each path belongs to the innermost repository, and has its object there.

A submodule stands in a worktree as Git would check it out: its files, a `.git` file, and the Git directory that this
leads to below the superproject's own (`.git/modules/`), with the objects of the user's submodule as alternates.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from expd.gitio.errors import GitFailed
from expd.gitio.filters import Keep
from expd.gitio.repository import LINK, REGULAR, Repository, TreeFile
from expd.gitio.slot import Slot, lay_git_directory, terms_of
from expd.gitio.submodules import Submodule
from expproto.vocabulary import Rev

_GIT = ".git"
_ATTRIBUTES = ".gitattributes"

ReadContent = Callable[[TreeFile, str], bytes | Path]
"""Gives what a file holds, or a file that holds it."""


def lay_submodules(worktree: Path, submodules: Sequence[Submodule]) -> None:
    """Write the Git directory of each submodule into that of a worktree, which is laid already; HEAD is its commit."""
    for submodule in submodules:
        at = _git_directory(submodule, submodules)
        lay_git_directory(worktree / submodule.path, Repository(submodule.git_directory), submodule.rev, at)


def _git_directory(submodule: Submodule, submodules: Sequence[Submodule]) -> str:
    """Give the place of its Git directory relative to the submodule's own, as Git lays it."""
    if submodule.in_place:
        return _GIT
    up = "../" * (submodule.path.count("/") + 1)
    return f"{up}{_GIT}/{module_place(submodule.path, [each.path for each in submodules])}"


def module_place(path: str, paths: Sequence[str]) -> str:
    """Give the place of a submodule's Git directory below the superproject's own; `paths` are those of all submodules."""
    outer = max((each for each in paths if path.startswith(f"{each}/")), key=len, default=None)
    if outer is None:
        return f"modules/{path}"
    return f"{module_place(outer, paths)}/modules/{path[len(outer) + 1 :]}"


def _name_of(content: bytes) -> Rev:
    """Name a file that Git has no object of, as a manifest needs it."""
    return Rev(hashlib.sha1(content, usedforsecurity=False).hexdigest())


def gives_attributes(path: str) -> bool:
    """Tell whether a file is one that gives attributes to others."""
    return path.endswith(_ATTRIBUTES) and path[: -len(_ATTRIBUTES)][-1:] in {"", "/"}


def _terms_of_submodule(submodule: Submodule) -> str:
    return f"{submodule.path} {submodule.git_directory} {submodule.in_place} {terms_of(Repository(submodule.git_directory))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a worktree is to hold, as a list of files, or as what differs from a tree that it holds already."""

    files: Callable[[], Mapping[str, TreeFile]]
    reader: Callable[[bool], ReadContent]
    """Gives what reads the files; asked whether any of them gives attributes."""
    terms: str = ""
    """What decides about the bytes of a file beside its object and the attributes: the settings."""
    tree: Rev | None = None
    """The tree that holds exactly these files; None where no tree does."""
    differences: Callable[[Rev], Mapping[str, TreeFile | None] | None] = lambda _tree: None
    """Gives what is otherwise than in another tree, None for what is not wanted; None as a whole if that can't be said."""


class Slots:
    """The slot of a worktree and those of its submodules, each opened when one of its files is first asked for.

    A submodule's slot can be opened only once its directory is there.
    """

    def __init__(self, worktree: Path, user: Repository, submodules: Sequence[Submodule] = ()) -> None:
        self._worktree = worktree
        self._slot = Slot(worktree, user)
        self._user = user
        self._submodules = {submodule.path: submodule for submodule in submodules}
        self._innermost = sorted(self._submodules, key=len, reverse=True)
        self._opened: dict[str, Slot] = {"": self._slot}
        self._listed: dict[str, dict[str, TreeFile]] = {}

    def files_of(self, commit: Rev) -> dict[str, TreeFile]:
        """List every file that a worktree of this commit has, the `.git` files that we lay in submodules with them."""
        files = dict(self._listing("", commit))
        for path, submodule in self._submodules.items():
            if not submodule.in_place:
                files[f"{path}/{_GIT}"] = TreeFile(rev=_name_of(self._link(path)), mode=REGULAR)
            files |= {f"{path}/{name}": file for name, file in self._listing(path, submodule.rev).items()}
        return files

    def wanted(self, commit: Rev) -> Wanted:
        """Say what a worktree of this commit has, without listing it: a tree can be compared where it is all there is."""
        is_tree = not self._submodules and self._user.setting("core.symlinks") != "false"
        tree = self._user.tree_of(commit)

        def differences(old_tree: Rev) -> dict[str, TreeFile | None] | None:
            try:
                return self._user.file_differences(old_tree, tree)
            except GitFailed:  # the old tree may have been collected, and then only a list can tell
                return None

        return Wanted(
            files=lambda: self.files_of(commit),
            reader=lambda has_attributes: self.reader(commit, has_attributes=has_attributes),
            terms="\n".join([terms_of(self._user), *map(_terms_of_submodule, self._submodules.values())]),
            tree=tree if is_tree else None,
            differences=differences if is_tree else lambda _tree: None,
        )

    def reader(self, commit: Rev, *, has_attributes: bool | None = None) -> ReadContent:
        """Give what reads a file's bytes as a checkout of `commit` writes them.

        Whether a file gives attributes is looked for, unless it is known.
        """
        revs = {"": commit, **{path: submodule.rev for path, submodule in self._submodules.items()}}
        if has_attributes is None:
            has_attributes = any(map(gives_attributes, self._listing("", commit)))
        readers = {owner: self._reader(owner, rev, has_attributes) for owner, rev in revs.items()}

        def read(file: TreeFile, path: str) -> bytes | Path:
            owner, name = self._owner_of(path)
            return self._link(owner) if owner and name == _GIT else readers[owner](file, name)

        return read

    def _reader(self, owner: str, commit: Rev, has_attributes: bool) -> ReadContent:  # noqa: FBT001 - for the comprehension
        repository = self._repository(owner)
        if owner:
            has_attributes = any(map(gives_attributes, self._listing(owner, commit)))
        if self._slot.has_filters(has_attributes=has_attributes):
            return lambda file, name: self._of(owner).content_of(file, name, commit)
        return lambda file, _name: repository.read_blob(file.rev)

    def _listing(self, owner: str, commit: Rev) -> dict[str, TreeFile]:
        """List the files of one repository; with core.symlinks=false links are files that hold their targets, as in Git."""
        key = f"{commit} {owner}"
        if key not in self._listed:
            repository = self._repository(owner)
            files = repository.files_of(repository.tree_of(commit))
            if repository.setting("core.symlinks") == "false":
                links = {path: file for path, file in files.items() if file.mode == LINK}
                files |= {path: TreeFile(rev=file.rev, mode=REGULAR) for path, file in links.items()}
            self._listed[key] = files
        return self._listed[key]

    def _repository(self, owner: str) -> Repository:
        """Open the user's repository that a path belongs to."""
        return Repository(self._submodules[owner].git_directory) if owner else self._user

    def write_indexes(self, commit: Rev) -> None:
        """Let `git status` tell what runs, here and in each submodule."""
        self._slot.write_index(self._user.tree_of(commit))
        for path, submodule in self._submodules.items():
            self._of(path).write_index(Repository(submodule.git_directory).tree_of(submodule.rev))

    def store_file(self, path: str, keep: Keep | None = None) -> TreeFile | None:
        """Store one file of the worktree in the objects of the repository it belongs to; see Slot. `keep` gets none of submodules."""
        owner, name = self._owner_of(path)
        return self._of(owner).store_file(name, None if owner else keep)

    def missing(self) -> tuple[str, ...]:
        """Give the paths that were read as Git LFS pointers, their content being nowhere here."""
        prefixes = {owner: f"{owner}/" if owner else "" for owner in self._opened}
        return tuple(prefixes[owner] + name for owner, slot in self._opened.items() for name in slot.missing)

    def is_kept_by_lfs(self, path: str) -> bool:
        """Tell whether a file's content goes to Git LFS."""
        owner, name = self._owner_of(path)
        return self._of(owner).is_kept_by_lfs(name)

    def is_ignored(self, path: str) -> bool:
        """Tell whether ignore files exclude a path; directories end in a slash."""
        owner, name = self._owner_of(path)
        return bool(name) and self._of(owner).is_ignored(name)

    def is_top(self, path: str) -> bool:
        """Tell whether a path belongs to the repository itself, and to no submodule."""
        return not self._owner_of(path)[0]

    def _owner_of(self, path: str) -> tuple[str, str]:
        """Split a path into the submodule it lies in and its name there."""
        for owner in self._innermost:
            if path.startswith(f"{owner}/"):
                return owner, path[len(owner) + 1 :]
        return "", path

    def _of(self, owner: str) -> Slot:
        if owner not in self._opened:
            submodule = self._submodules[owner]
            at = _git_directory(submodule, list(self._submodules.values()))
            self._opened[owner] = Slot(self._worktree / owner, Repository(submodule.git_directory), at)
        return self._opened[owner]

    def _link(self, owner: str) -> bytes:
        """Give the text of a submodule's `.git` file."""
        at = _git_directory(self._submodules[owner], list(self._submodules.values()))
        return b"gitdir: " + os.fsencode(at) + b"\n"
