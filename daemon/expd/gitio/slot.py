"""The Git directory of a private worktree: its own HEAD and index, and the user's objects as alternates.

No history is copied and no lock is shared with the user's repository; what the worktree's commands write with Git
stays in the slot. What we store of its files goes to the user's objects, through the slot's filters.
"""

from pathlib import Path

import pygit2

from expd.gitio.locate import common_directory_of
from expd.gitio.repository import EXECUTABLE, LINK, REGULAR, Repository, TreeFile, git_errors
from expproto.vocabulary import Rev

_CONFIG_KEYS = ("user.name", "user.email", "core.autocrlf", "core.eol", "core.filemode", "core.symlinks")
"""Settings of the user's repository that a checkout or a commit in a worktree needs; nothing else passes."""


def make_slot(worktree: Path, user_git_directory: Path) -> None:
    """Lay a Git directory into a worktree, with the user's objects behind it; does nothing if one is there."""
    git_directory = worktree / ".git"
    if (git_directory / "HEAD").exists():
        return
    user = Repository(user_git_directory)
    with git_errors(f"no Git directory can be made in {worktree}"):
        pygit2.init_repository(str(worktree), initial_head="expd")
        alternates = git_directory / "objects" / "info" / "alternates"
        alternates.write_text(f"{_objects_of(user)}\n", encoding="utf-8")
        shallow = _objects_of(user).parent / "shallow"
        if shallow.exists():
            (git_directory / "shallow").write_bytes(shallow.read_bytes())
        config = pygit2.Repository(str(git_directory)).config
        for key in _CONFIG_KEYS:
            if (value := user.setting(key)) is not None:
                config[key] = value


class Slot:
    """An opened worktree: `tree` is compared and stored in terms of the user's objects."""

    def __init__(self, worktree: Path, user_git_directory: Path) -> None:
        with git_errors(f"can't open {worktree}"):
            self._handle = pygit2.Repository(str(worktree / ".git"))
            self._user = Repository(user_git_directory)
            self._handle.set_odb(pygit2.Odb(str(_objects_of(self._user))))
        self._worktree = worktree

    def set_head(self, baseline: Rev, tree: Rev) -> None:
        """Make `git rev-parse HEAD` give the baseline and `git status` the difference that runs."""
        with git_errors("the worktree's HEAD can't be set"):
            self._handle.set_head(pygit2.Oid(hex=baseline))
            index = self._handle.index
            index.read_tree(self._handle[tree].peel(pygit2.Tree))
            index.write()

    def content_of(self, file: TreeFile, path: str, commit: Rev) -> bytes:
        """Give a file's bytes as a checkout of `commit` writes them: line endings as its attributes say."""
        with git_errors(f"{path} can't be read from Git"):
            blob = self._handle[file.rev]
            assert isinstance(blob, pygit2.Blob)
            if file.mode == LINK:
                return blob.data
            with pygit2.BlobIO(
                blob,
                as_path=path,
                flags=pygit2.enums.BlobFilter.CHECK_FOR_BINARY | pygit2.enums.BlobFilter.ATTRIBUTES_FROM_COMMIT,
                commit_id=pygit2.Oid(hex=commit),
            ) as stream:
                return stream.read()

    def has_filters(self, files: dict[str, TreeFile]) -> bool:
        """Tell whether a checkout may write other bytes than the blobs hold."""
        return (self._user.setting("core.autocrlf") or "false") != "false" or any(
            path == ".gitattributes" or path.endswith("/.gitattributes") for path in files
        )

    def store_file(self, path: str) -> TreeFile | None:
        """Store one file of the worktree in the user's objects; None if it is neither a regular file nor a link."""
        full = self._worktree / path
        if full.is_symlink():
            mode = LINK
        elif full.is_file():
            mode = EXECUTABLE if full.stat().st_mode & 0o100 else REGULAR
        else:
            return None
        with git_errors(f"{path} can't be stored"):
            return TreeFile(rev=Rev(str(self._handle.create_blob_fromworkdir(path))), mode=int(mode))

    def is_ignored(self, path: str) -> bool:
        """Tell whether the worktree's ignore files exclude a path; directories end in a slash."""
        with git_errors(f"{path} can't be looked up"):
            return self._handle.path_is_ignored(path)


def _objects_of(repository: Repository) -> Path:
    return common_directory_of(Path(repository.handle.path)) / "objects"
