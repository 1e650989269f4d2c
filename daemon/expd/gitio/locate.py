"""From a directory to its repository: what `git rev-parse` finds, without a process."""

from dataclasses import dataclass
from pathlib import Path

import pygit2

from expd.gitio.errors import NotARepository


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a repository is. `git_directory` is this work tree's own, `common_directory` what all share."""

    workspace: Path
    git_directory: Path
    common_directory: Path

    @property
    def opened_at(self) -> Path:
        """Give the path that opens the repository with this work tree.

        A Git directory that lies elsewhere (`git init --separate-git-dir`) does not know where its work tree is.
        """
        link = self.workspace / ".git"
        return link if link.exists() else self.git_directory

    @property
    def private_directory(self) -> Path:
        """Give the place for our own files: in no user's way, on the same file system as the objects."""
        return self.common_directory / "expd"


def locate(cwd: Path) -> Location:
    """Find the repository in whose work tree `cwd` is; raises NotARepository."""
    try:
        found = pygit2.discover_repository(str(cwd))
        repository = _opened(cwd, found) if found else None
    except (pygit2.GitError, KeyError, OSError, ValueError) as error:
        raise NotARepository(str(cwd), str(error)) from None
    if repository is None:
        raise NotARepository(str(cwd), "no Git repository here or above")
    if repository.is_bare or repository.workdir is None:
        raise NotARepository(str(cwd), "the repository is bare: it has no work tree to capture")
    git_directory, workspace = Path(repository.path).resolve(), Path(repository.workdir).resolve()
    if not cwd.resolve().is_relative_to(workspace) or cwd.resolve().is_relative_to(git_directory):
        raise NotARepository(str(cwd), f"this is not in the work tree, which is {workspace}")
    return Location(
        workspace=workspace,
        git_directory=git_directory,
        common_directory=common_directory_of(git_directory),
    )


def _opened(cwd: Path, found: str) -> pygit2.Repository:
    """Open what was found by the `.git` file that leads there, if one does: it alone may know where the work tree is."""
    repository = pygit2.Repository(found)
    for place in (cwd.resolve(), *cwd.resolve().parents):
        link = place / ".git"
        if link.is_file():
            linked = pygit2.Repository(str(link))
            return linked if linked.path == repository.path else repository
        if link.is_dir():
            break
    return repository


def common_directory_of(git_directory: Path) -> Path:
    """Follow gitrepository-layout(5)'s `commondir` of a linked work tree."""
    try:
        text = (git_directory / "commondir").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return git_directory
    return (git_directory / text).resolve()
