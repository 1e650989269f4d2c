"""Filter drivers of .gitattributes: Git LFS as its specification says; others if the user's own configuration has them.

libgit2 runs no driver. A file that has one is stored here, whenever something of it is stored: what is in Git then is
what `git add` would have put there. A command in a repository's own configuration is its author's, and is never run;
that one would have to be, or that a worktree would need a `smudge` command, is said at submit.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pygit2
from pygit2.enums import AttrCheck

from expd.gitio.errors import CannotCapture, GitFailed
from expd.gitio.lfs import DRIVER, LfsStore, parse_pointer
from expd.gitio.repository import EXECUTABLE, REGULAR, Repository, TreeFile, git_errors
from expproto.vocabulary import Rev

_CLEAN_SECONDS = 300
"""For one file; nbstripout takes less than one."""
_NAMED = re.compile(rb"(?:^|\s)filter=([^\s#]+)")


def driver_of(handle: pygit2.Repository, path: str, commit: Rev | None = None) -> str | None:
    """Name the driver that attributes give a file: those of the work tree, else of the index, else of `commit`."""
    flags = AttrCheck.FILE_THEN_INDEX if commit is None else AttrCheck.FILE_THEN_INDEX | AttrCheck.INCLUDE_COMMIT
    with git_errors(f"the attributes of {path} can't be read"):
        value = handle.get_attr(os.fsencode(path), "filter", flags, commit)
    return value if isinstance(value, str) else None


class Drivers:
    """The drivers of one repository, for the files of a work tree of it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._lfs = LfsStore(repository)
        self.missing: list[str] = []
        """Paths that `content_of` was asked for and LFS had a pointer of, but no content."""

    def is_kept(self, handle: pygit2.Repository, path: str) -> bool:
        """Tell whether Git LFS keeps a file's content."""
        return driver_of(handle, path) == DRIVER

    def clean(self, handle: pygit2.Repository, worktree: Path, path: str) -> Rev | None:
        """Store one regular file as its driver has it; None if it has none that does anything.

        Raises CannotCapture, GitFailed and OSError.
        """
        name = driver_of(handle, path)
        if name == DRIVER:
            return self._repository.write_blob(self._lfs.keep(worktree / path))
        if name is None:
            return None
        self._check_driver(name, path)
        clean = self._setting(name, "clean")
        return self._clean_by_git(name, clean, worktree, path) if clean else None

    def content_of(self, handle: pygit2.Repository, file: TreeFile, path: str, commit: Rev) -> Path | None:
        """Give the file that holds what LFS keeps of one; None if there is none, and the blob is what it is."""
        if file.mode not in {REGULAR, EXECUTABLE} or driver_of(handle, path, commit) != DRIVER:
            return None
        with git_errors(f"{path} can't be read from Git"):
            blob = handle[file.rev]
        pointer = parse_pointer(blob.data) if isinstance(blob, pygit2.Blob) else None
        found = None if pointer is None else self._lfs.find(pointer)
        if pointer is not None and found is None:
            self.missing.append(path)
        return found

    def check(self, tree: Rev, attribute_files: Sequence[str], workspace: Path) -> list[str]:
        """Look whether a worktree can have what the files of a tree need; gives the paths that stay LFS pointers.

        LFS contents that are in the workspace only are stored. Raises CannotCapture for another driver with a command
        that can't be run.
        """
        named = {name: path for path in attribute_files for name in self._named_in(tree, path)}
        for name, path in named.items():
            if name != DRIVER:
                self._check_driver(name, path)
        return sorted(self._pointers(tree, workspace)) if DRIVER in named else []

    def _check_driver(self, name: str, path: str) -> None:
        """Raise CannotCapture for a driver that has a command we do not run."""
        smudge, clean = self._setting(name, "smudge") or "cat", self._setting(name, "clean")
        if smudge.strip() != "cat" or self._setting(name, "process"):
            what = f"it asks for the filter {name}, whose smudge or process command no worktree of a run can have"
            raise CannotCapture(path, what, f"Git LFS is supported, and filters with filter.{name}.clean alone")
        if clean and clean != _users_setting(f"filter.{name}.clean"):
            what = f"it asks for the filter {name}, a command of the repository's own configuration, which is not run"
            raise CannotCapture(path, what, f"if you trust it: git config --global filter.{name}.clean '{clean}'")

    def _named_in(self, tree: Rev, path: str) -> list[str]:
        text = self._repository.read_file(tree, path) or b""
        return [os.fsdecode(name) for name in _NAMED.findall(text)]

    def _pointers(self, tree: Rev, workspace: Path) -> Iterator[str]:
        """Find LFS files whose content is neither in the store nor in the workspace."""
        for path, file in self._repository.files_of(tree).items():
            if file.mode in {REGULAR, EXECUTABLE} and driver_of(self._repository.handle, path) == DRIVER:
                pointer = parse_pointer(self._repository.read_blob(file.rev))
                if pointer is not None and self._lfs.find(pointer) is None:
                    try:
                        self._lfs.keep(workspace / path)
                    except OSError:
                        yield path
                        continue
                    if self._lfs.find(pointer) is None:
                        yield path

    def _setting(self, name: str, key: str) -> str | None:
        return self._repository.setting(f"filter.{name}.{key}")

    def _clean_by_git(self, name: str, clean: str, worktree: Path, path: str) -> Rev:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        command = [
            "git",
            "-C",
            str(worktree),
            "-c",
            f"filter.{name}.clean={clean}",
            "hash-object",
            "-w",
            "--stdin",
            "--path",
            path,
        ]
        with (worktree / path).open("rb") as content:
            done = subprocess.run(
                command, env=environ, stdin=content, capture_output=True, timeout=_CLEAN_SECONDS, check=False
            )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise GitFailed(f"{path} can't be read through the filter {name}: {said}")
        return Rev(done.stdout.decode("ascii").strip())


def _users_setting(key: str) -> str | None:
    """Give a value of the configuration that is the user's or the system's, not the repository's."""
    found = None
    for level in (pygit2.Config.get_system_config, pygit2.Config.get_xdg_config, pygit2.Config.get_global_config):
        try:
            found = level()[key]
        except (KeyError, OSError, pygit2.GitError):
            continue
    return found
