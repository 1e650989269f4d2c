"""Git LFS without its program: pointers in Git, contents in its store and in worktrees; held against the program if it is there."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import ConfigLevel

from expd.gitio.errors import CannotCapture
from expd.gitio.lfs import LfsStore, Pointer, parse_pointer
from expd.gitio.repository import Repository
from expd.prepare.capture import Capture, capture_workspace
from helpers.repositories import GIT_ENVIRONMENT, a_repository, everything_of, git, write_files

ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
CONTENT = "weights \0 of a model\n" * 100


def _pointer_of(content: str) -> str:
    data = content.encode()
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(data).hexdigest()}\nsize {len(data)}\n"
    )


def _place_of(path: Path, content: str) -> Path:
    oid = hashlib.sha256(content.encode()).hexdigest()
    return path / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a repository as a clone with LFS leaves it: a pointer in Git, the content in the workspace and the store."""
    path = a_repository(tmp_path / "project", {".gitattributes": ATTRIBUTES, "old.bin": _pointer_of(CONTENT)})
    write_files(_place_of(path, CONTENT).parent, {_place_of(path, CONTENT).name: CONTENT})
    (path / "old.bin").write_text(CONTENT)
    return path


def _capture(path: Path) -> Capture:
    return capture_workspace(Repository(path / ".git"))


def _content(path: Path, capture: Capture, name: str) -> str:
    data = Repository(path / ".git").read_file(capture.files_tree, name)
    assert data is not None
    return data.decode()


def test_a_file_that_is_as_its_pointer_says_is_unchanged(path: Path) -> None:
    """Though its bytes are others than Git's, the tree is HEAD's."""
    before = everything_of(path)

    capture = _capture(path)

    assert capture.files_tree == git(path, "rev-parse", "HEAD^{tree}")
    assert capture.pointers == ()
    assert everything_of(path) == before


def test_edited_and_new_files_become_pointers(path: Path) -> None:
    """What the tree has is the pointer, the content is where LFS keeps it, and bits, links and empty files are as ever."""
    write_files(path, {"old.bin": "edited\n", "d/new.bin": "new\n", "empty.bin": "", "plain.txt": "plain\n"})
    (path / "d" / "new.bin").chmod(0o755)
    (path / "link.bin").symlink_to("old.bin")

    capture = _capture(path)

    assert _content(path, capture, "old.bin") == _pointer_of("edited\n")
    assert _content(path, capture, "d/new.bin") == _pointer_of("new\n")
    assert _content(path, capture, "empty.bin") == ""
    assert _content(path, capture, "plain.txt") == "plain\n"
    assert _content(path, capture, "link.bin") == "old.bin"
    assert _place_of(path, "edited\n").read_text() == "edited\n"
    assert git(path, "ls-tree", capture.files_tree, "d/new.bin").split()[0] == "100755"
    assert not list((path / ".git" / "lfs" / "tmp").iterdir())


def test_a_pointer_in_the_workspace_stays_one_and_is_named(path: Path) -> None:
    """Where LFS has not fetched a content there is nothing but the pointer, for the run as for the user."""
    write_files(path, {"old.bin": _pointer_of(CONTENT)})
    shutil.rmtree(path / ".git" / "lfs")

    capture = _capture(path)

    assert capture.pointers == ("old.bin",)
    assert _content(path, capture, "old.bin") == _pointer_of(CONTENT)


def test_a_content_that_only_the_workspace_has_is_stored(path: Path) -> None:
    """After `git lfs prune` took it, the content of an unchanged file is kept again for the run."""
    shutil.rmtree(path / ".git" / "lfs")

    capture = _capture(path)

    assert capture.pointers == ()
    assert _place_of(path, CONTENT).read_text() == CONTENT


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        (_pointer_of("x").encode(), Pointer(oid=hashlib.sha256(b"x").hexdigest(), size=1)),
        (_pointer_of("x").encode().replace(b"\nsize", b"\next-0-x sha256:1\nsize"), None),
        (_pointer_of("x").encode().rstrip(b"\n"), None),
        (_pointer_of("x").encode() + b"x" * 1024 + b"\n", None),
        (_pointer_of("x").encode().replace(b"size 1", b"size -1"), None),
        (b"", None),
        (b"\xff\xfe\n", None),
        (b"oid sha256:1\n", None),
    ],
)
def test_only_pointers_are_pointers(data: bytes, pointer: Pointer | None) -> None:
    """What does not keep to the specification is content, and is never mistaken for its name."""
    assert parse_pointer(data) == pointer


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Give a home directory whose Git configuration is the user's."""
    paths = pygit2.settings.search_path
    before = paths[ConfigLevel.GLOBAL]
    (tmp_path / "home").mkdir()
    paths[ConfigLevel.GLOBAL] = str(tmp_path / "home")
    yield tmp_path / "home"
    paths[ConfigLevel.GLOBAL] = before


def test_a_users_clean_command_is_run_by_git(path: Path, home: Path) -> None:
    """A filter of the user's own configuration with a clean command alone makes of a file what `git add` would."""
    (home / ".gitconfig").write_text('[filter "upper"]\n\tclean = tr a-z A-Z\n')
    write_files(path, {".gitattributes": ATTRIBUTES + "*.up filter=upper\n", "a.up": "shout\n", "b.up": "loud\n"})

    capture = _capture(path)

    assert (_content(path, capture, "a.up"), _content(path, capture, "b.up")) == ("SHOUT\n", "LOUD\n")


@pytest.mark.parametrize("key", ["clean", "smudge", "process"])
def test_a_filter_that_can_not_be_run_is_refused_by_name(path: Path, key: str) -> None:
    """A command of the repository's own is not run, and a worktree can have no smudge: that is said before it is queued."""
    git(path, "config", f"filter.crypt.{key}", f"touch {path.parent}/PWNED; cat")
    write_files(path, {".gitattributes": "secret.txt filter=crypt\n", "secret.txt": "x\n"})

    with pytest.raises(CannotCapture, match="filter crypt"):
        _capture(path)
    assert not (path.parent / "PWNED").exists()


def test_a_filter_that_is_not_set_up_does_nothing(path: Path) -> None:
    """As with Git, an attribute without a command in the configuration leaves a file as it is."""
    write_files(path, {".gitattributes": "*.txt filter=unknown\n", "a.txt": "a\n"})

    assert _content(path, _capture(path), "a.txt") == "a\n"


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_the_program_finds_what_we_store(path: Path) -> None:
    """`git lfs` sees the same pointers and contents: `ls-files`, `fsck` and a checkout with its own filter."""
    environ = {**os.environ, **GIT_ENVIRONMENT}
    write_files(path, {"old.bin": "edited\n", "d/new.bin": "new\n"})
    capture = _capture(path)
    commit = Repository(path / ".git").write_commit(
        capture.files_tree, [capture.baseline_rev], "x", Repository(path / ".git").identity(1.0)
    )
    git(path, "config", "lfs.https://example.org.locksverify", "false")
    git(path, "lfs", "install", "--local")
    git(path, "update-ref", "refs/heads/ours", commit)

    listed = git(path, "lfs", "ls-files", "--long", "ours").splitlines()
    subprocess.run(["git", "lfs", "fsck", "--objects", "ours"], cwd=path, env=environ, check=True, capture_output=True)
    git(path, "checkout", "--quiet", "--force", "ours")

    assert [line.split(" ", 1)[0] for line in listed] == [
        hashlib.sha256(text.encode()).hexdigest() for text in ("new\n", "edited\n")
    ]
    assert (path / "d" / "new.bin").read_text() == "new\n"
    store = LfsStore(Repository(path / ".git"))
    assert store.keep(path / "d" / "new.bin").decode() == git(path, "cat-file", "blob", "ours:d/new.bin") + "\n"
