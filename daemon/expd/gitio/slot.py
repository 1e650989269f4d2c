"""The Git directory of a private worktree: its own HEAD and index, and the user's objects as alternates.

No history is copied and no lock is shared with the user's repository; what the worktree's commands write with Git
stays in the slot. What we store of its files goes to the user's objects, through the slot's filters.
"""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Container, Mapping
from pathlib import Path

import pygit2

from expd.gitio.drivers import Drivers
from expd.gitio.errors import GitFailed
from expd.gitio.filters import Keep, checked_out, stored
from expd.gitio.repository import Repository, TreeFile, git_errors
from expproto.vocabulary import Rev

_CONFIG_KEYS = ("user.name", "user.email", "core.autocrlf", "core.eol", "core.filemode", "core.symlinks")
"""Settings of the user's repository that a checkout or a commit in a worktree needs; nothing else passes."""


class Directories(dict[str, "Directories"]):
    """Directories by name, with those that are in them."""


LAID_DIRECTORIES = Directories(
    objects=Directories(info=Directories()), refs=Directories(heads=Directories()), info=Directories()
)
"""What a Git directory of ours has at first, besides files."""


def lay_git_directory(worktree: Path, user: Repository, baseline: Rev, at: str = ".git") -> None:
    """Write a Git directory for a worktree that has none, or at most LAID_DIRECTORIES: HEAD detached at the baseline, objects as alternates.

    `at` is its place relative to the worktree, whose own `.git` leads to it if it is another.
    """
    lay_files(Path(os.path.normpath(worktree / at)), files_to_lay(worktree, user, baseline, at))


def files_to_lay(worktree: Path, user: Repository, baseline: Rev, at: str = ".git") -> dict[str, bytes]:
    """Give the files of a Git directory for a worktree, by their paths in it (gitrepository-layout(5))."""
    back = None if at == ".git" else os.path.relpath(worktree, os.path.normpath(worktree / at))
    files = {
        "objects/info/alternates": os.fsencode(user.objects_directory) + b"\n",
        "HEAD": f"{baseline}\n".encode("ascii"),
        "config": os.fsencode(_config_text(user, back)),
    }
    # a history that is cut, and what the user excludes beside the files of the tree that say so
    for name in ("shallow", "info/attributes", "info/exclude"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
            files[name] = (user.common_directory / name).read_bytes()
    return files


def lay_files(git_directory: Path, files: Mapping[str, bytes], left: Container[str] = ()) -> None:
    """Write the files of a Git directory, but for those that are `left` there and hold just this.

    By hand, and unsynced: it is made for one run, and a crash makes it worthless anyway.
    """
    git_directory.mkdir(parents=True, exist_ok=True)
    _make_directories(str(git_directory), LAID_DIRECTORIES)
    for name, content in files.items():
        if name not in left:
            _put(f"{git_directory}/{name}", content)


def _make_directories(above: str, directories: Directories) -> None:
    for name, below in directories.items():
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{above}/{name}")  # noqa: PTH102 - pathlib takes longer than the system for each of these
        _make_directories(f"{above}/{name}", below)


def _put(place: str, content: bytes) -> None:
    """Write a file that is not there."""
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(content)


def _config_text(user: Repository, worktree: str | None) -> str:
    lines = ["[core]", "\trepositoryformatversion = 0", "\tbare = false", "\tlogallrefupdates = false"]
    if worktree is not None:
        lines.append(f"\tworktree = {quoted(worktree)}")
    for key in _CONFIG_KEYS:
        if (value := user.setting(key)) is not None:
            section, name = key.split(".")
            lines += [f"[{section}]", f"\t{name} = {quoted(value)}"]
    return "\n".join([*lines, "[submodule]", "\tactive = ."]) + "\n"


def terms_of(user: Repository) -> str:
    """Say what decides, beside objects and the attributes among them, about the bytes that a checkout writes."""
    settings = [f"{key}={user.setting(key)}" for key in _CONFIG_KEYS if key.startswith("core.")]
    try:
        attributes = (user.common_directory / "info" / "attributes").read_bytes()
    except OSError:
        return " ".join(settings)
    return " ".join([*settings, hashlib.sha256(attributes).hexdigest()])


def quoted(value: str) -> str:
    """Give a value as a configuration file of Git has it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class Slot:
    """An opened worktree: its files are read and stored in terms of the user's objects."""

    def __init__(self, worktree: Path, user: Repository, at: str = ".git") -> None:
        self._user = user
        with git_errors(f"can't open {worktree}"):
            self._handle = pygit2.Repository(os.path.normpath(worktree / at))
            self._handle.set_odb(pygit2.Odb(str(self._user.objects_directory)))
        self._drivers = Drivers(self._user)
        self._worktree = worktree

    def write_index(self, tree: Rev) -> None:
        """Let `git status` tell what runs: the difference between HEAD, the baseline, and this tree."""
        with git_errors("the worktree's index can't be written"):
            index = self._handle.index
            index.read_tree(self._handle[tree].peel(pygit2.Tree))
            index.write()

    def content_of(self, file: TreeFile, path: str, commit: Rev) -> bytes | Path:
        """Give a file's bytes as a checkout of `commit` writes them: line endings as its attributes say.

        What Git LFS keeps is the file that holds it.
        """
        return self._drivers.content_of(self._handle, file, path, commit) or checked_out(
            self._handle, file, path, commit
        )

    def has_filters(self, *, has_attributes: bool) -> bool:
        """Tell whether a checkout may write other bytes than the blobs hold; `has_attributes` if a file of it gives some."""
        return (
            has_attributes
            or (self._user.setting("core.autocrlf") or "false") != "false"
            or (self._user.common_directory / "info" / "attributes").exists()
        )

    def store_file(self, path: str, keep: Keep | None = None) -> TreeFile | None:
        """Store one file of the worktree in the user's objects, or give it to `keep`; None if it is neither a regular file nor a link."""
        return stored(self._handle, self._drivers, self._worktree, path, keep)

    @property
    def missing(self) -> list[str]:
        """Give the paths whose content was read and is a Git LFS pointer, its content being nowhere here."""
        return self._drivers.missing

    def is_kept_by_lfs(self, path: str) -> bool:
        """Tell whether a file's content goes to Git LFS."""
        return self._drivers.is_kept(self._handle, path)

    def is_ignored(self, path: str) -> bool:
        """Tell whether the worktree's ignore files exclude a path; directories end in a slash."""
        with git_errors(f"{path} can't be looked up"):
            try:
                return self._handle.path_is_ignored(path)
            except UnicodeEncodeError:
                return self._is_ignored_by_git(path)

    def _is_ignored_by_git(self, path: str) -> bool:
        """Ask Git itself: pygit2 has no way to name such a path."""
        places = [f"--git-dir={self._handle.path}", f"--work-tree={self._worktree}"]
        harmless = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
        command = ["git", *places, *harmless, "check-ignore", "--quiet", "--no-index", "--", path]
        done = subprocess.run(command, cwd=self._worktree, capture_output=True, check=False)
        if done.returncode > 1:
            raise GitFailed(f"{path} can't be looked up: {done.stderr.decode('utf-8', 'replace').strip()}")
        return done.returncode == 0
