"""A worktree against Git's own: a checkout is what `git checkout` writes, changes are those that `git status` finds."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.pictures import Picture, picture_of
from daemon.worktrees import check_out
from expd.execute.manifest import Manifest
from expd.execute.worktree import make_slot, new_files, remove_tree
from expd.execute.worktree import tracked_changes as changes_of
from expd.gitio.repository import Repository, TreeFile
from expd.gitio.slot import Slot, lay_git_directory
from helpers.repositories import a_repository, git
from helpers.waiting import eventually

ATTRIBUTES = {
    ".gitattributes": "*.crlf text eol=crlf\n*.bin -text\nauto.txt text=auto\n",
    "windows.crlf": "a\nb\n",
    "data.bin": "a\r\nb\n",
    "auto.txt": "plain\n",
    "sub/.gitattributes": "*.crlf text eol=lf\n",
    "sub/unix.crlf": "a\nb\n",
    ".gitignore": "*.tmp\n/out/\n!keep.tmp\n",
    "tracked.tmp": "forced\n",
}


def _odd_project(path: Path) -> Path:
    """Make a repository with all that a checkout may get wrong."""
    project = a_repository(path, ATTRIBUTES)
    (project / "run.sh").write_text("#!/bin/sh\n")
    (project / "run.sh").chmod(0o755)
    (project / "link").symlink_to("run.sh")
    (project / "dangling").symlink_to("../nowhere")
    (project / "sub" / "up").symlink_to("..")
    git(project, "add", "--all", "--force")
    git(project, "commit", "--quiet", "--message", "odd")
    return project


def _latin_project(path: Path) -> Path:
    """Make a repository with a name that is no UTF-8, and no attributes."""
    project = a_repository(path, {"file": "a\n", "sub/file": "b\n"})
    Path(os.fsdecode(bytes(project / "sub") + b"/caf\xe9")).write_bytes(b"latin\n")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "latin")
    return project


def _check_out_as_a_run_does(project: Path, slot: Path) -> tuple[Manifest, Slot]:
    repository = Repository(project / ".git")
    head = repository.head_rev()
    assert head is not None
    tree = repository.tree_of(head)
    make_slot(slot)
    remove_tree(slot / ".git")
    lay_git_directory(slot, Repository(project / ".git"), head)
    lane = Slot(slot, Repository(project / ".git"))
    files = repository.files_of(tree)
    has_filters = lane.has_filters(has_attributes=".gitattributes" in files)
    start_ns, last = time.time_ns(), list(files)[-1]

    def read(file: TreeFile, path: str) -> bytes:
        eventually(lambda: path != last or time.time_ns() > start_ns + 60_000_000, "the clock goes on")
        content = lane.content_of(file, path, head) if has_filters else repository.read_blob(file.rev)
        assert isinstance(content, bytes)
        return content

    manifest = check_out(slot, files, read)
    lane.write_index(tree)
    return manifest, lane


@pytest.mark.parametrize(
    ("make_project", "autocrlf"),
    [(_odd_project, "false"), (_odd_project, "true"), (_odd_project, "input"), (_latin_project, "false")],
)
def test_a_checkout_is_what_git_writes(tmp_path: Path, make_project: Callable[[Path], Path], autocrlf: str) -> None:
    """Links, executables, names that are no UTF-8 and line endings by attribute stand as `git checkout` writes them."""
    project = make_project(tmp_path / "project")
    git(project, "config", "core.autocrlf", autocrlf)
    git(tmp_path, "-c", f"core.autocrlf={autocrlf}", "clone", "--quiet", str(project), str(tmp_path / "clone"))

    _check_out_as_a_run_does(project, tmp_path / "slot")

    by_us, by_git = picture_of(tmp_path / "slot"), picture_of(tmp_path / "clone")
    for picture in (by_us, by_git):
        for path in [path for path in picture if path in {"", ".git"} or path.startswith(".git/")]:
            del picture[path]
    assert by_us == by_git


def _status_of_git(worktree: Path) -> tuple[set[str], set[str], set[str]]:
    """Ask `git status`: changed, deleted and new paths."""
    listed = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames"],
        cwd=worktree,
        capture_output=True,
        check=True,
    ).stdout
    changed, deleted, new = set[str](), set[str](), set[str]()
    for line in listed.split(b"\0")[:-1]:
        code, path = line[:2].decode(), os.fsdecode(line[3:])
        {"?": new, "D": deleted}.get(code[1], changed).add(path)
    return changed, deleted, new


def _really_changed(worktree: Path, touched: tuple[str, ...], pictured: Picture) -> set[str]:
    """Leave out what was only touched: it is stored again, to the same object."""
    now = picture_of(worktree)
    return {path for path in touched if now[path] != pictured[path]}


JOBS = {
    "nothing": "true",
    "edits of the same size": "printf 'x\\nb\\n' > data.bin; touch -d 2001-01-01 data.bin",
    "deletions and additions": "rm run.sh; mkdir -p new/deep; echo a > new/deep/a; echo b > 'new/with space'",
    "ignored files": "echo a > a.tmp; mkdir out; echo b > out/b; echo c > keep.tmp; echo d > sub/d.tmp",
    "a tracked file that is ignored": "echo changed > tracked.tmp",
    "modes": "chmod -x run.sh; chmod +x auto.txt; chmod 600 data.bin",
    "a link for a file": "rm auto.txt; ln -s data.bin auto.txt",
    "a file for a link": "rm link; cp run.sh link",
    "a link somewhere else": "ln -sfn data.bin link",
    "a directory for a file": "rm auto.txt; mkdir auto.txt; echo in > auto.txt/inside",
    "a file for a directory": "rm -r sub; echo file > sub",
    "a link for a directory": "mv sub ../elsewhere; ln -s ../elsewhere sub",
    "a pipe in place of a file": "rm auto.txt; mkfifo auto.txt",
    "a .gitignore of its own": "mkdir own; echo '*' > own/.gitignore; echo a > own/a; echo '*.log' > .gitignore; echo > x.log",
}


LATIN_JOBS = {
    "an edit": "printf changed > sub/$(printf 'caf\\351')",
    "a deletion": "rm sub/caf*",
}


@pytest.mark.parametrize("job", [*JOBS, *LATIN_JOBS])
def test_changes_of_a_run_are_those_git_finds(tmp_path: Path, job: str) -> None:
    """What a run changed, deleted and made is what `git status` finds in its worktree, ignored files left out."""
    make_project = _odd_project if job in JOBS else _latin_project
    manifest, lane = _check_out_as_a_run_does(make_project(tmp_path / "project"), tmp_path / "slot")
    pictured = picture_of(tmp_path / "slot")

    subprocess.run(["sh", "-c", {**JOBS, **LATIN_JOBS}[job]], cwd=tmp_path / "slot", check=True)
    changes = changes_of(tmp_path / "slot", manifest)
    made = set(new_files(tmp_path / "slot", manifest, lane.is_ignored))

    changed, deleted, new = _status_of_git(tmp_path / "slot")
    ours = _really_changed(tmp_path / "slot", changes.touched, pictured)
    if job == "modes":
        ours -= {"data.bin"}  # of a mode Git knows the executable bit only
    assert (ours, set(changes.deleted), made) == (changed, deleted, new)
