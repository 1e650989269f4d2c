"""From the directory where a command was typed to the project that is meant."""

import os
import subprocess
from pathlib import Path

import pytest

from expd.gitio.errors import NotARepository
from expd.prepare.project import NothingToRun, find_project
from helpers.repositories import a_repository, git, write_files

COMMAND = ("sh", "-c", "true")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a repository with two DVC projects in it, and pipelines at several depths."""
    files = {
        "dvc.yaml": "stages: {}\n",
        ".dvc/config": "",
        "src/model/net.py": "",
        "sub/.dvc/config": "",
        "sub/deep/dvc.yaml": "stages: {}\n",
        "sub/deep/er/x": "",
        "sub/bare/x": "",
    }
    return a_repository(tmp_path / "project", files)


@pytest.mark.parametrize(
    ("cwd", "root", "directory"),
    [
        (".", ".", "."),
        ("src/model", ".", "."),
        ("sub/deep", "sub", "sub/deep"),
        ("sub/deep/er", "sub", "sub/deep"),
    ],
)
def test_the_nearest_pipeline_of_the_nearest_project_is_meant(path: Path, cwd: str, root: str, directory: str) -> None:
    """Typed anywhere inside, the pipeline above is found, and paths start at its project's root."""
    project = find_project(path / cwd, command=None)

    assert (project.root, project.directory) == (root, directory)
    assert project.location.workspace == path
    assert project.cache == path / root / ".dvc" / "cache"


def test_a_pipeline_outside_the_project_is_not_taken(path: Path) -> None:
    """A project without a pipeline does not run its parent's: its paths would mean other files."""
    with pytest.raises(NothingToRun) as refused:
        find_project(path / "sub" / "bare", command=None)

    assert refused.value.directory == str(path / "sub" / "bare")


def test_a_command_runs_where_it_was_typed(path: Path) -> None:
    """It needs no pipeline."""
    project = find_project(path / "src" / "model", command=COMMAND)

    assert (project.root, project.directory) == (".", "src/model")


def test_a_repository_without_dvc_has_a_cache_of_ours(tmp_path: Path) -> None:
    """Outputs go below the Git directory, in nobody's way."""
    path = a_repository(tmp_path / "plain", {"d/x": ""})

    project = find_project(path / "d", command=COMMAND)

    assert (project.root, project.directory) == (".", "d")
    assert project.cache == path / ".git" / "expd" / "cache"


def test_a_directory_reached_through_a_link_is_the_directory(path: Path, tmp_path: Path) -> None:
    """By whatever way one came in, the project is the same."""
    (tmp_path / "shortcut").symlink_to(path / "src")

    through_link = find_project(tmp_path / "shortcut", command=COMMAND)

    assert through_link == find_project(path / "src", command=COMMAND)


def test_a_linked_work_tree_shares_the_private_directory(path: Path) -> None:
    """It is a workspace of its own in the same repository: entries of both are of one queue."""
    linked = path.parent / "linked"
    git(path, "worktree", "add", "--quiet", "--detach", str(linked))

    location = find_project(linked, command=COMMAND).location

    assert location.workspace == linked
    assert location.git_directory == path / ".git" / "worktrees" / "linked"
    assert location.common_directory == path / ".git"
    assert location.private_directory == path / ".git" / "expd"


def test_a_submodule_is_a_repository_of_its_own(path: Path) -> None:
    """Typed inside a submodule, the submodule is meant."""
    library = a_repository(path.parent / "library", {"x": ""})
    git(path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")

    location = find_project(path / "lib", command=COMMAND).location

    assert (location.workspace, location.git_directory) == (path / "lib", path / ".git" / "modules" / "lib")


def test_finding_writes_nothing(path: Path) -> None:
    """Not even the private directory is made before something is submitted."""
    before = sorted(path.rglob("*"))

    find_project(path, command=None)

    assert sorted(path.rglob("*")) == before


def _bare(path: Path) -> Path:
    git(path.parent, "clone", "--quiet", "--bare", str(path), "bare")
    return path.parent / "bare"


def _of_a_linked_work_tree(path: Path) -> Path:
    git(path, "worktree", "add", "--quiet", "--detach", str(path.parent / "linked"))
    return path / ".git" / "worktrees" / "linked"


def _broken(path: Path) -> Path:
    (path.parent / "broken").mkdir()
    write_files(path.parent, {"broken/.git": "gitdir: /nowhere\n"})
    return path.parent / "broken"


def _with_its_work_tree_elsewhere(path: Path) -> Path:
    write_files(path.parent, {"away/x": ""})
    git(path, "config", "core.worktree", str(path.parent / "away"))
    return path


PLACES = {
    "outside any": lambda path: path.parent,
    "not there": lambda path: path.parent / "gone",
    "a bare one": _bare,
    "inside .git": lambda path: path / ".git",
    "deep inside .git": lambda path: path / ".git" / "refs" / "heads",
    "inside the .git of a linked work tree": _of_a_linked_work_tree,
    "a broken one": _broken,
    "one with its work tree elsewhere": _with_its_work_tree_elsewhere,
}


@pytest.mark.parametrize("place", PLACES)
def test_where_nothing_can_be_captured_is_named(path: Path, place: str) -> None:
    """Outside a work tree there is nothing to submit: the refusal names the directory."""
    cwd = PLACES[place](path)

    with pytest.raises(NotARepository) as refused:
        find_project(cwd, command=COMMAND)

    assert refused.value.cwd == str(cwd)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository away")
def test_a_repository_of_somebody_else_is_refused(path: Path) -> None:
    """Its configuration could make us do what its owner wants: Git's own rule of safe directories holds."""
    subprocess.run(["chown", "-R", "65534:65534", path], check=True)

    with pytest.raises(NotARepository, match="not owned by current user"):
        find_project(path, command=COMMAND)
