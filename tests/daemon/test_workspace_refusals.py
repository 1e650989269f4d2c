"""What a workspace is not captured for: an operation in its middle, what can't be read, what Git can't store."""

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from expd.gitio.errors import GitFailed
from expd.gitio.repository import Repository
from expd.gitio.workspace import operation_in_progress, read_workspace
from helpers.repositories import a_repository, git, write_files

FILES = {"a.txt": "a\n"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a repository with one file."""
    return a_repository(tmp_path / "project", FILES)


def _merge(path: Path) -> None:
    _branch_with(path, "other\n")
    subprocess.run(["git", "-C", path, "merge", "--quiet", "other"], check=False, capture_output=True)


def _branch_with(path: Path, text: str) -> None:
    git(path, "checkout", "--quiet", "-b", "other")
    write_files(path, {"a.txt": text})
    git(path, "commit", "--quiet", "--all", "--message", "other")
    git(path, "checkout", "--quiet", "main")
    write_files(path, {"a.txt": "main\n"})
    git(path, "commit", "--quiet", "--all", "--message", "main")


def _rebase(path: Path) -> None:
    _branch_with(path, "other\n")
    subprocess.run(["git", "-C", path, "rebase", "--quiet", "other"], check=False, capture_output=True)
    git(path, "checkout", "--theirs", "a.txt")
    git(path, "add", "a.txt")


def _bisect(path: Path) -> None:
    git(path, "bisect", "start")


def _resolved_merge(path: Path) -> None:
    _merge(path)
    git(path, "add", "a.txt")


OPERATIONS: dict[str, tuple[Callable[[Path], object], str | None]] = {
    "none": (lambda path: None, None),  # noqa: ARG005 - the same call as the others
    "a merge with conflicts": (_merge, "merge with conflicts"),
    "a resolved merge": (_resolved_merge, "merge"),
    "a rebase": (_rebase, "rebase"),
    "a bisection": (_bisect, "bisect"),
}


@pytest.mark.parametrize(("begin", "name"), OPERATIONS.values(), ids=OPERATIONS)
def test_an_unfinished_operation_is_named(path: Path, begin: Callable[[Path], object], name: str | None) -> None:
    """What HEAD and the index mean in the middle of one is for its owner to say."""
    begin(path)

    found = operation_in_progress(Repository(path / ".git"))

    assert (found or "")[: len(name or "x")] == (name or "")


def test_an_unreadable_file_is_named() -> None:
    """Who may not read a file of the workspace is told which one; there is no capture without it."""
    script = """
        import os, sys
        from pathlib import Path
        from expd.gitio.errors import GitFailed
        from expd.gitio.repository import Repository
        from expd.gitio.workspace import read_workspace

        if os.geteuid() == 0:
            os.setgid(65534), os.setuid(65534)
        try:
            read_workspace(Repository(Path(sys.argv[1], ".git")))
        except GitFailed as failed:
            print(failed.what)
    """
    with tempfile.TemporaryDirectory() as outside:  # a place that another user may enter
        path = a_repository(Path(outside) / "project", FILES)
        write_files(path, {"secret.txt": "new\n"})
        (path / "secret.txt").chmod(0)
        if os.geteuid() == 0:
            Path(outside).chmod(0o755)
            subprocess.run(["chown", "-R", "65534:65534", path], check=True)
        said = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), path],
            env={**os.environ, "HOME": outside},
            capture_output=True,
            text=True,
            check=False,
        )

    assert "secret.txt can't be read" in said.stdout, said.stderr


def test_what_git_can_not_store_is_named(path: Path) -> None:
    """A name that is dangerous to other systems is refused with its path, not silently left out."""
    write_files(path, {"git~1": "x\n"})

    with pytest.raises(GitFailed, match="git~1 can't be read"):
        read_workspace(Repository(path / ".git"))
