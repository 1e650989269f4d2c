"""The Git directory of a private worktree: it tells the truth about what runs, and shares objects only."""

import os
import subprocess
from pathlib import Path

import pytest

from expd.execute.worktree import strip
from expd.gitio.errors import GitFailed
from expd.gitio.repository import EXECUTABLE, LINK, REGULAR, Repository, TreeFile
from expd.gitio.slot import LAID_DIRECTORIES, Slot, files_to_lay, lay_files, lay_git_directory
from expd.gitio.slots import gives_attributes
from expproto.vocabulary import Rev
from helpers.repositories import a_repository, everything_of, git, write_files


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """Give a user's repository with line endings of its own."""
    return a_repository(
        tmp_path / "user",
        {"a.txt": "a\nb\n", "bytes.bin": "x\n", "tool.sh": "echo\n", ".gitattributes": "*.txt text eol=crlf\n"},
    )


def _laid(user: Path, name: str = "slot") -> Path:
    worktree = user.parent / name
    worktree.mkdir()
    lay_git_directory(worktree, Repository(user / ".git"), Rev(git(user, "rev-parse", "HEAD")))
    return worktree


def test_git_in_a_worktree_tells_what_runs(user: Path) -> None:
    """HEAD is the baseline, and `git status` lists what differs from it: the captured edits."""
    worktree = _laid(user)
    write_files(user, {"tool.sh": "echo edited\n"})
    git(user, "commit", "--quiet", "--all", "--message", "what runs")
    tree = Repository(user / ".git").tree_of(Rev(git(user, "rev-parse", "HEAD")))
    Slot(worktree, Repository(user / ".git")).write_index(tree)
    write_files(worktree, {"tool.sh": "echo edited\n", "bytes.bin": "x\n", "made.bin": "made\n"})
    (worktree / "a.txt").write_bytes(b"a\r\nb\r\n")
    write_files(worktree, {".gitattributes": "*.txt text eol=crlf\n"})

    status = git(worktree, "status", "--short").splitlines()

    assert [line.split() for line in status] == [["M", "tool.sh"], ["??", "made.bin"]]
    assert git(worktree, "rev-parse", "HEAD") == git(user, "rev-parse", "HEAD~1")
    assert git(worktree, "log", "--format=%s") == "start"


VANDALISM = {
    "nothing": "true",
    "files and branches": "touch index.lock objects/x info/exclude; mkdir hooks objects/ab; git -C .. branch x",
    "no directories": "rm -r refs objects info",
    "links for directories": "rm -r objects refs/heads; ln -s ../../outside objects; ln -s ../../../outside refs/heads",
    "files for directories": "rm -r objects/info refs; touch objects/info refs",
    "links for files": "rm HEAD config; ln -s ../../outside/kept HEAD; ln -s nowhere config",
    "modes": "chmod 0 objects refs; chmod 777 info",
    "modes of files": "chmod 755 HEAD; chmod 0 config; chmod 4644 info/exclude",
    "edits": "printf ' ' >> config; rm HEAD; mkdir HEAD; tr 0-9 1-90 < objects/info/alternates > x; cat x > info/exclude",
    "edits of the same length": "tr a-z b-za < config > x; cat x > config; tr a-z b-za < info/exclude > x; cat x > info/exclude",
    "second names": "ln config ../../outside/config; rm HEAD; ln ../../outside/kept HEAD",
    "a pipe for a file": "rm config; mkfifo config",
    "its own mode": "chmod 700 .",
    "a link for all": "cd ..; rm -r .git; ln -s ../outside .git",
    "a file for all": "cd ..; rm -r .git; touch .git",
    "nothing left": "cd ..; rm -r .git",
}


@pytest.mark.parametrize("deed", VANDALISM)
def test_a_stripped_git_directory_is_laid_as_a_new_one(user: Path, deed: str) -> None:
    """Whatever a run did in it, the next one finds what it would find in a new slot, and nothing outside is touched."""
    fresh, used, outside = _laid(user, "fresh"), _laid(user, "used"), user.parent / "outside"
    write_files(outside, {"kept": "kept\n", "info/kept": "kept\n"})
    subprocess.run(["sh", "-ec", VANDALISM[deed]], cwd=used / ".git", check=True)

    files = files_to_lay(used, Repository(user / ".git"), Rev(git(user, "rev-parse", "HEAD")))
    lay_files(used / ".git", files, strip(used / ".git", LAID_DIRECTORIES, files))

    assert _listed(used / ".git") == _listed(fresh / ".git")
    assert {path.stat().st_nlink for path in (used / ".git").rglob("*") if path.is_file()} == {1}
    found = {path: content for path, (_mode, content) in _listed(outside).items() if content is not None}
    config = found.pop("config", None)
    assert config in {None, files["config"]}
    assert found == {"kept": b"kept\n", "info/kept": b"kept\n"}


def test_files_that_a_run_left_alone_are_not_written_again(user: Path) -> None:
    """What would be written with the same bytes keeps its inode; HEAD of another baseline does not."""
    used = _laid(user) / ".git"
    before = {path: path.stat().st_ino for path in used.rglob("*") if path.is_file()}
    files = files_to_lay(used.parent, Repository(user / ".git"), Rev("0" * 40))

    left = strip(used, LAID_DIRECTORIES, files)
    lay_files(used, files, left)

    assert left == files.keys() - {"HEAD"}
    assert (used / "HEAD").read_text() == "0" * 40 + "\n"
    assert {path.relative_to(used).as_posix() for path, inode in before.items() if path.stat().st_ino == inode} >= left


def _listed(directory: Path) -> dict[str, tuple[int, bytes | None]]:
    """Give modes and contents of all that is below a directory, and of itself."""
    return {
        str(path.relative_to(directory)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in [directory, *directory.rglob("*")]
    }


def test_what_a_run_does_with_git_stays_in_the_slot(user: Path) -> None:
    """Its commits, branches and configuration are its own: the user's repository sees none of them."""
    worktree = _laid(user)
    before = everything_of(user), git(user, "count-objects")

    write_files(worktree, {"a.txt": "committed in the run\n"})
    git(worktree, "add", "a.txt")
    git(worktree, "commit", "--quiet", "--message", "of the run")
    git(worktree, "branch", "of-the-run")
    git(worktree, "config", "core.pager", "less")

    assert (everything_of(user), git(user, "count-objects")) == before


def test_a_worktree_of_a_linked_work_tree_finds_the_objects(user: Path) -> None:
    """Objects are where all work trees of a repository share them."""
    git(user, "worktree", "add", "--quiet", "--detach", str(user.parent / "linked"))
    worktree = user.parent / "slot"
    worktree.mkdir()

    lay_git_directory(worktree, Repository(user / ".git" / "worktrees" / "linked"), Rev(git(user, "rev-parse", "HEAD")))

    assert git(worktree, "show", "HEAD:tool.sh") == "echo"


def test_a_shallow_clone_has_worktrees_too(user: Path) -> None:
    """Where history ends in the user's repository it ends in the slot: `git log` does not break."""
    git(user, "commit", "--quiet", "--allow-empty", "--message", "second")
    git(user.parent, "clone", "--quiet", "--depth=1", f"file://{user}", "shallow")

    worktree = _laid(user.parent / "shallow")

    assert git(worktree, "log", "--format=%s") == "second"


def test_only_harmless_settings_pass(user: Path) -> None:
    """Who commits and how files are written is taken over, whatever its signs; programs to run are not."""
    for key, value in {
        "user.name": 'Ada "the first" \\ Löw; # x',
        "core.autocrlf": "input",
        "core.fsmonitor": "/bin/false",
        "core.hooksPath": "/nowhere",
        "filter.evil.clean": "/bin/false",
        "alias.x": "!/bin/false",
    }.items():
        git(user, "config", key, value)

    worktree = _laid(user)

    local = dict(line.split("=", 1) for line in git(worktree, "config", "--local", "--list").splitlines())
    assert local["user.name"] == 'Ada "the first" \\ Löw; # x'
    assert local["core.autocrlf"] == "input"
    assert {"core.fsmonitor", "core.hookspath", "filter.evil.clean", "alias.x"} & local.keys() == set()


def test_a_directory_with_signs_is_a_directory(tmp_path: Path) -> None:
    """A repository whose path holds spaces, quotes or a hash has worktrees like any."""
    user = a_repository(tmp_path / 'it\'s #1 "best" é', {"a.txt": "a\n"})

    assert git(_laid(user), "show", "HEAD:a.txt") == "a"


def test_files_are_stored_among_the_users_objects(user: Path) -> None:
    """Regular, executable and linked files get their modes; what is none of these has no object."""
    worktree = _laid(user)
    write_files(worktree, {"new.bin": "new\n", "tool.sh": "#!/bin/sh\n"})
    (worktree / "tool.sh").chmod(0o755)
    (worktree / "link").symlink_to("new.bin")
    (worktree / "directory").mkdir()
    os.mkfifo(worktree / "fifo")
    slot = Slot(worktree, Repository(user / ".git"))

    stored = {name: slot.store_file(name) for name in ("new.bin", "tool.sh", "link", "directory", "fifo", "gone")}

    modes = {name: None if file is None else file.mode for name, file in stored.items()}
    assert modes == {
        "new.bin": REGULAR,
        "tool.sh": EXECUTABLE,
        "link": LINK,
        "directory": None,
        "fifo": None,
        "gone": None,
    }
    assert stored["link"] is not None
    assert git(user, "cat-file", "blob", stored["link"].rev) == "new.bin"


def test_line_endings_are_those_of_the_attributes(user: Path) -> None:
    """Read as a checkout writes it and stored again, a file is the object it was."""
    worktree, repository = _laid(user), Repository(user / ".git")
    head = Rev(git(user, "rev-parse", "HEAD"))
    files = repository.files_of(repository.tree_of(head))
    slot = Slot(worktree, Repository(user / ".git"))
    content = {name: slot.content_of(file, name, head) for name, file in files.items()}
    for name, data in content.items():
        assert isinstance(data, bytes)
        (worktree / name).write_bytes(data)

    assert content["a.txt"] == b"a\r\nb\r\n"
    assert content["bytes.bin"] == b"x\n"
    assert slot.has_filters(has_attributes=any(map(gives_attributes, files)))
    assert {name: slot.store_file(name) for name in files} == files


def test_a_file_of_a_gone_object_is_named(user: Path) -> None:
    """An object that is not there is an error with the file's name, not an empty file."""
    slot = Slot(_laid(user), Repository(user / ".git"))

    with pytest.raises(GitFailed, match=r"a\.txt can't be read"):
        slot.content_of(TreeFile(rev=Rev("1" * 40), mode=REGULAR), "a.txt", Rev(git(user, "rev-parse", "HEAD")))


def test_ignore_files_of_the_run_are_heeded(user: Path) -> None:
    """What the worktree's own .gitignore excludes is known, directories by their slash."""
    worktree = _laid(user)
    write_files(worktree, {".gitignore": "*.log\n/out/\n"})
    slot = Slot(worktree, Repository(user / ".git"))

    ignored = [name for name in ("x.log", "d/y.log", "out/", "out/z", "a.txt", "d/out/") if slot.is_ignored(name)]

    assert ignored == ["x.log", "d/y.log", "out/", "out/z"]
