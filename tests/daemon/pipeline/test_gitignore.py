"""Ignore rules agree with Git's own, and entries are made as DVC makes them."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from expd.pipeline.gitignore import GitIgnore, find_git_root

PATHS = (
    "a",
    "b.txt",
    "a/b",
    "a/b.txt",
    "a/b/c",
    "a/b/c.txt",
    "b/a",
    "ab",
    "a b",
    "c/a/b/c",
    "[a]",
    "a/[b]",
    "!a",
    "#a",
    ".a",
)
PIECES = st.sampled_from(
    ["a", "b", "c", "*", "?", "**", "/", "/", ".txt", "[ab]", "[!a]", "\\", "!", "#", " ", "[^a]", "[a-b]", "."]
)
# Asterisks in a row beside other characters mean something else in each version of Git.
ODD = re.compile(r"[^/]\*\*|\*\*[^/]")
PATTERNS = st.lists(PIECES, min_size=1, max_size=6).map("".join).filter(lambda pattern: not ODD.search(pattern))


def ignored_by_git(root: Path) -> set[str]:
    """Those of the paths that Git ignores; none of them exists."""
    command = ["git", "check-ignore", "--no-index", "--stdin", "-z"]
    done = subprocess.run(command, cwd=root, input="\0".join(PATHS), capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return set(done.stdout.split("\0")) - {""}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(top=st.lists(PATTERNS, max_size=4), below=st.lists(PATTERNS, max_size=2))
@example(top=["b\\/a"], below=[])
@example(top=["\\/a"], below=["a\\\\/b"])
def test_ignore_rules_agree_with_git(repository: Path, top: list[str], below: list[str]) -> None:
    """Whatever stands in two .gitignore files, the same paths are ignored as by `git check-ignore`."""
    (repository / ".gitignore").write_text("\n".join(top))
    (repository / "a").mkdir(exist_ok=True)
    (repository / "a" / ".gitignore").write_text("\n".join(below))
    ignore = GitIgnore(str(repository))
    found = {path for path in PATHS if ignore.ignores(f"{repository}/{path}", is_directory=path == "a")}
    assert found == ignored_by_git(repository)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty Git repository, blind to the ignore file of whoever runs the tests."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "config", "core.excludesFile", "/dev/null"], cwd=tmp_path, check=True)
    return tmp_path


def test_an_entry_is_appended_once(repository: Path) -> None:
    """An output is added behind a line without an end, with its signs escaped, and not again."""
    (repository / ".gitignore").write_text("*.log")
    ignore = GitIgnore(str(repository))
    assert ignore.add(f"{repository}/[x]*") == f"{repository}/.gitignore"
    assert ignore.add(f"{repository}/[x]*") is None
    assert ignore.add(f"{repository}/a.log") is None
    assert (repository / ".gitignore").read_text() == "*.log\n/\\[x\\]\\*\n"


def test_without_git_nothing_is_ignored_or_written(tmp_path: Path) -> None:
    """A project that is in no Git repository gets no ignore files."""
    ignore = GitIgnore(None)
    assert ignore.add(f"{tmp_path}/out") is None
    assert list(tmp_path.iterdir()) == []


def test_the_git_root_is_the_nearest_one_above(repository: Path) -> None:
    """A project below the root of its repository finds that root."""
    assert find_git_root(f"{repository}/some/where") == str(repository)


def test_what_was_added_can_be_taken_back(repository: Path) -> None:
    """Entries that were added go again, with a file that held nothing else; those of before stay."""
    (repository / ".gitignore").write_text("/before\n")
    (repository / "sub").mkdir()
    ignore = GitIgnore(str(repository))
    ignore.add(f"{repository}/made")
    ignore.add(f"{repository}/sub/made")

    ignore.take_back()

    assert (repository / ".gitignore").read_text() == "/before\n"
    assert not (repository / "sub" / ".gitignore").exists()
