"""The workspace read into trees: everything a person may do to files, against what Git would have stored."""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from expd.gitio.errors import GitFailed
from expd.gitio.repository import Identity, Repository
from expd.gitio.submodules import gitlinks_of_index
from expd.gitio.workspace import WorkspaceChanging, WorkspaceTrees, read_workspace
from expd.prepare.capture import capture_workspace, stash_points
from expproto.vocabulary import Rev
from helpers.repositories import a_repository, everything_of, git, write_files

FILES = {
    "a.txt": "a\n",
    "empty": "",
    "tool.sh": "echo\n",
    "d/b.txt": "b\n",
    "d/deep/c.txt": "c\n",
    ".gitignore": "*.log\n/out/\n",
}
IDENTITY = Identity(name="Ada", email="ada@example.org", at=1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a repository with a few files and a link."""
    return _a_project(tmp_path)


def _a_project(directory: Path) -> Path:
    path = a_repository(directory / "project", FILES)
    (path / "link").symlink_to("a.txt")
    git(path, "add", "link")
    git(path, "commit", "--quiet", "--message", "link")
    return path


def _read(path: Path) -> WorkspaceTrees:
    return read_workspace(Repository(path / ".git"))


def _tree_by_git(path: Path) -> str:
    """Let Git itself store the workspace, through an index of its own."""
    index = path / ".git" / "index-of-the-test"
    if (path / ".git" / "index").exists():
        shutil.copy(path / ".git" / "index", index)
    environ = {**os.environ, "GIT_INDEX_FILE": str(index)}
    subprocess.run(["git", "-C", path, "add", "--all"], env=environ, check=True, capture_output=True)
    written = subprocess.run(["git", "-C", path, "write-tree"], env=environ, check=True, capture_output=True, text=True)
    index.unlink()
    return written.stdout.strip()


def _replace_by_link(path: Path, name: str, target: str) -> None:
    _remove(path / name)
    (path / name).symlink_to(target)


def _replace_by_directory(path: Path, name: str) -> None:
    _remove(path / name)
    write_files(path, {f"{name}/inside.txt": "inside\n", f"{name}/more/inside.txt": "more\n"})


def _replace_by_file(path: Path, name: str) -> None:
    _remove(path / name)
    (path / name).write_text("a file now\n")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _stage(path: Path, name: str, text: str) -> None:
    write_files(path, {name: text})
    git(path, "add", name)


def _not_utf8(path: Path) -> None:
    (path / os.fsdecode(b"caf\xe9.txt")).write_text("name of bytes\n")
    git(path, "add", "--all")
    (path / os.fsdecode(b"caf\xe9.txt")).write_text("edited\n")
    (path / os.fsdecode(b"\xff\xfe")).write_text("untracked\n")


def _crlf(path: Path) -> None:
    (path / "a.txt").write_bytes(b"a\r\nb\r\n")


def _in_turn(*changes: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        for each in changes:
            each(path)

    return change


EDITS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,  # noqa: ARG005 - the same call as the others
    "modified": lambda path: (path / "a.txt").write_text("changed\n"),
    "modified to the same size": lambda path: (path / "a.txt").write_text("b\n"),
    "touched": lambda path: os.utime(path / "a.txt", (1, 1)),
    "emptied": lambda path: (path / "a.txt").write_text(""),
    "staged": lambda path: _stage(path, "a.txt", "staged\n"),
    "staged, then edited": _in_turn(
        lambda path: _stage(path, "a.txt", "staged\n"), lambda path: (path / "a.txt").write_text("later\n")
    ),
    "staged, then deleted": _in_turn(
        lambda path: _stage(path, "a.txt", "staged\n"), lambda path: _remove(path / "a.txt")
    ),
    "new and staged": lambda path: _stage(path, "n/new.txt", "new\n"),
    "new and announced": _in_turn(
        lambda path: write_files(path, {"n": "n\n"}), lambda path: git(path, "add", "--intent-to-add", "n")
    ),
    "deleted": lambda path: _remove(path / "d/b.txt"),
    "deleted in the index only": lambda path: git(path, "rm", "--quiet", "--cached", "a.txt"),
    "a directory deleted": lambda path: _remove(path / "d"),
    "renamed": lambda path: (path / "a.txt").rename(path / "d" / "renamed.txt"),
    "executable": lambda path: (path / "tool.sh").chmod(0o755),
    "new": lambda path: write_files(path, {"new.txt": "new\n", "n/e/w.txt": "deep\n"}),
    "new and ignored": lambda path: write_files(path, {"x.log": "log\n", "out/model.bin": "bytes\n", "d/y.log": ""}),
    "tracked though ignored": lambda path: (path / ".gitignore").write_text("*.log\n/out/\na.txt\n/new\n"),
    "ignored no more": _in_turn(
        lambda path: write_files(path, {"x.log": "log\n"}), lambda path: _remove(path / ".gitignore")
    ),
    "a file became a link": lambda path: _replace_by_link(path, "a.txt", "d/b.txt"),
    "a file became a dangling link": lambda path: _replace_by_link(path, "a.txt", "../gone"),
    "a file became a directory": lambda path: _replace_by_directory(path, "a.txt"),
    "a link became a file": lambda path: _replace_by_file(path, "link"),
    "a link became a directory": lambda path: _replace_by_directory(path, "link"),
    "a link turned": lambda path: _replace_by_link(path, "link", "d"),
    "a directory became a file": lambda path: _replace_by_file(path, "d"),
    "a directory became a link": lambda path: _replace_by_link(path, "d", "/etc"),
    "odd names": lambda path: write_files(path, {"x ": "1", "y\nz": "2", "back\\s": "3", "[x]*": "4", "-o": "5"}),
    "names of bytes": _not_utf8,
    "a fifo": lambda path: os.mkfifo(path / "pipe"),
    "an empty directory": lambda path: (path / "hollow").mkdir(),
    "line endings": _in_turn(_crlf, lambda path: (path / ".gitattributes").write_text("*.txt text\n")),
    "no index": lambda path: (path / ".git" / "index").unlink(),
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_the_tree_is_the_one_git_would_store(path: Path, change: Callable[[Path], object]) -> None:
    """Whatever was done, the tree of the files equals that of `git add --all`, and nothing of the user's is touched."""
    change(path)
    expected = _tree_by_git(path)
    before = _picture(path)

    trees = _read(path)

    assert trees.files_tree == expected
    assert trees.left_out == ()
    assert _picture(path) == before


def _picture(path: Path) -> dict[str, object]:
    """Take the picture of a workspace that may hold fifos, which nobody can read."""
    fifos = [found for found in path.rglob("*") if found.is_fifo()]
    stood = {fifo: fifo.lstat() for fifo in fifos}
    for fifo in fifos:
        fifo.rename(path.parent / fifo.name)
    try:
        return {**everything_of(path), **{str(fifo): status.st_ino for fifo, status in stood.items()}}
    finally:
        for fifo in fifos:
            (path.parent / fifo.name).rename(fifo)


def test_the_index_is_kept_apart(path: Path) -> None:
    """What is staged is a tree of its own, as `git stash` keeps it."""
    _stage(path, "a.txt", "staged\n")
    write_files(path, {"a.txt": "edited\n"})

    trees = _read(path)

    assert trees.index_tree == git(path, "write-tree")
    assert git(path, "show", f"{trees.index_tree}:a.txt") == "staged"
    assert git(path, "show", f"{trees.files_tree}:a.txt") == "edited"


def test_a_file_that_became_a_fifo_is_gone(path: Path) -> None:
    """What no tree can hold is not there, and nobody waits for a writer to open it."""
    _remove(path / "a.txt")
    os.mkfifo(path / "a.txt")

    assert "a.txt" not in Repository(path / ".git").files_of(_read(path).files_tree)


def test_sockets_are_no_files(path: Path) -> None:
    """A socket in the workspace is passed over, as Git does."""
    with socket.socket(socket.AF_UNIX) as listening, tempfile.TemporaryDirectory() as short:
        listening.bind(f"{short}/s")
        Path(short, "s").rename(path / "s")
        trees = _read(path)
        (path / "s").unlink()

    assert trees.files_tree == git(path, "rev-parse", "HEAD^{tree}")


@pytest.mark.parametrize("has_commit", [True, False], ids=["with a commit", "fresh"])
def test_nested_repositories_are_left_out_and_named(path: Path, has_commit: bool) -> None:
    """A repository that is not tracked has a history of its own: nothing of it is in the tree."""
    nested = path / "d" / "nested"
    if has_commit:
        a_repository(nested, {"x": "x\n"})
    else:
        nested.mkdir()
        git(nested, "init", "--quiet")
        write_files(nested, {"x": "x\n"})

    trees = _read(path)

    assert trees.left_out == ("d/nested/",)
    assert trees.files_tree == git(path, "rev-parse", "HEAD^{tree}")


def test_files_told_to_be_unchanged_are_believed(path: Path) -> None:
    """`--assume-unchanged` and a sparse checkout mean to Git that the index is right: so it is here."""
    git(path, "update-index", "--assume-unchanged", "a.txt")
    write_files(path, {"a.txt": "unseen\n"})
    git(path, "sparse-checkout", "set", "d")

    assert _read(path).files_tree == _tree_by_git(path)


def test_a_linked_work_tree_is_read_as_its_own(path: Path) -> None:
    """Its files, its index and its HEAD are meant, not those of the main one."""
    linked = path.parent / "linked"
    git(path, "worktree", "add", "--quiet", "--detach", str(linked))
    write_files(linked, {"a.txt": "linked\n"})
    write_files(path, {"a.txt": "main\n"})

    trees = read_workspace(Repository(path / ".git" / "worktrees" / "linked"))

    assert git(path, "show", f"{trees.files_tree}:a.txt") == "linked"


def test_a_file_is_captured_of_one_moment_or_refused_while_it_is_written(path: Path) -> None:
    """Counted up page by page, a file is caught as it stood after some count and never as a mixture of two."""
    pages, big = 64, path / "big.bin"
    big.write_bytes(bytes(pages * 4096))
    stop, caught, refusals = threading.Event(), list[bytes](), list[str]()

    def count_up() -> None:
        with big.open("r+b", buffering=0) as file:
            for number in itertools.count(1):
                os.pwrite(file.fileno(), number.to_bytes(8), number % pages * 4096)
                if number % 3000 == 0 and stop.wait(0.002):  # between two bursts a capture may succeed
                    return

    writer = threading.Thread(target=count_up)
    writer.start()
    try:
        for _ in range(8):
            try:
                caught.append(_content_of(path, _read(path), "big.bin"))
            except (WorkspaceChanging, GitFailed) as refused:
                refusals.append(str(refused))
    finally:
        stop.set()
        writer.join()
    caught.append(_content_of(path, _read(path), "big.bin"))

    assert all(_is_of_one_moment(content, pages) for content in caught)
    assert all("big.bin" in refusal for refusal in refusals)
    assert caught[-1] == big.read_bytes()


def _is_of_one_moment(content: bytes, pages: int) -> bool:
    """Tell whether the counts are the last ones before some moment, each in its page."""
    counts = [int.from_bytes(content[page * 4096 : page * 4096 + 8]) for page in range(pages)]
    latest = max(counts)
    return counts == [max(0, latest - (latest - page) % pages) for page in range(pages)]


def _content_of(path: Path, trees: WorkspaceTrees, name: str) -> bytes:
    content = Repository(path / ".git").read_file(trees.files_tree, name)
    assert content is not None
    return content


NAMES = st.sampled_from(
    ["a.txt", "d/b.txt", "d/deep/c.txt", "tool.sh", "link", "new.txt", "d/new.txt", "d", "n", "n/m"]
)
TEXTS = st.sampled_from(["", "1\n", "2\n", "long " * 50])
STEPS = st.one_of(
    st.tuples(st.just("write"), NAMES, TEXTS),
    st.tuples(st.just("stage"), NAMES, TEXTS),
    st.tuples(st.just("remove"), NAMES, st.just("")),
    st.tuples(st.just("link"), NAMES, st.sampled_from(["a.txt", "gone"])),
    st.tuples(st.just("mode"), NAMES, st.just("")),
    st.tuples(st.just("unstage"), NAMES, st.just("")),
)


def _carry_out(path: Path, step: str, name: str, text: str) -> None:
    """Do one edit; a name below a file makes a directory of that file first."""
    target = path / name
    if step in {"write", "stage", "link"}:
        for parent in reversed(target.relative_to(path).parents[:-1]):
            if (path / parent).is_symlink() or (path / parent).is_file():
                (path / parent).unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(target)
    if step == "link":
        target.symlink_to(text)
    elif step in {"write", "stage"}:
        target.write_text(text)
    elif step == "remove":
        _remove(target)
    elif step == "mode" and target.is_file() and not target.is_symlink():
        target.chmod(0o755)
    elif step == "unstage":
        subprocess.run(["git", "-C", path, "rm", "--cached", "-rq", "--", name], capture_output=True, check=False)
    if step == "stage":
        git(path, "add", "--all", "--", name)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, min_size=1, max_size=8))
@example([("write", "d", "1\n"), ("stage", "a.txt", "2\n"), ("remove", "a.txt", "")])
def test_a_stash_applied_in_a_clean_clone_is_the_workspace(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]]
) -> None:
    """After any edits, the tree is Git's own, and `git stash apply` makes it of a fresh clone, byte for byte."""
    directory = tmp_path_factory.mktemp("edited")
    path = _a_project(directory)
    for step in steps:
        _carry_out(path, *step)
    expected, before = _tree_by_git(path), everything_of(path)

    repository = Repository(path / ".git")
    capture = capture_workspace(repository)
    (stash,) = stash_points(repository, capture, [("x", capture.files_tree)], IDENTITY)

    assert everything_of(path) == before
    assert capture.files_tree == expected
    assert _applied_in_a_clone(path, stash) == expected
    shutil.rmtree(directory)


def _applied_in_a_clone(path: Path, stash: Rev) -> str:
    clone = path.parent / "clone"
    git(path, "update-ref", "refs/heads/stashed", stash)
    git(path.parent, "clone", "--quiet", "--branch", "main", str(path), str(clone))
    git(clone, "stash", "apply", "--quiet", stash)
    return _tree_by_git(clone)


@pytest.mark.parametrize("version", ["2", "3", "4"])
@pytest.mark.parametrize("is_new", [True, False])
def test_attribute_files_and_submodules_are_found_in_every_index(tmp_path: Path, version: str, is_new: bool) -> None:
    """Whatever the form of the index, whose names may be shortened, and whether Git tracks the file already."""
    path = a_repository(tmp_path / "project", {"a/.gitattribute": "x", "a/z": "z", "b": "b"})
    if version == "3":  # for flags that the older form has no room for
        (path / "later").write_text("\n", encoding="utf-8")
        git(path, "add", "--intent-to-add", "later")
    assert _names_of_kind(path) == ([], ())
    (path / "a" / ".gitattributes").write_text("*.txt text\n", encoding="utf-8")
    head = git(path, "rev-parse", "HEAD")
    git(path, "update-index", "--add", "--cacheinfo", f"160000,{head},module")
    if not is_new:
        git(path, "add", "a/.gitattributes")
    git(path, "update-index", "--index-version", "4" if version == "4" else "2")
    assert (path / ".git" / "index").read_bytes()[7] == int(version)

    assert _names_of_kind(path) == (["module"], ("a/.gitattributes",))


def _names_of_kind(path: Path) -> tuple[list[str], tuple[str, ...]]:
    repository = Repository(path / ".git")
    gitlinks = gitlinks_of_index(repository)
    return gitlinks, read_workspace(repository).attribute_files


def test_a_repository_is_read_again_as_it_is_then(tmp_path: Path) -> None:
    """What was read with a handle before is in no later reading, neither files taken nor entries of the old index."""
    path = a_repository(tmp_path / "project", {"a": "a", "b": "b"})
    repository = Repository(path / ".git")
    (path / "new").write_text("new", encoding="utf-8")
    read_workspace(repository)
    (path / "new").unlink()
    git(path, "rm", "--quiet", "b")

    trees = read_workspace(repository)

    assert set(repository.files_of(trees.index_tree)) == set(repository.files_of(trees.files_tree)) == {"a"}
