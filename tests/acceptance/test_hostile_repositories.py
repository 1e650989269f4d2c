"""Hard repositories: captured, run, and compared byte for byte with what the user had; nothing of the user's is touched."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acceptance.hostile import REFUSED, REPOSITORIES
from helpers.daemons import RunningDaemon, a_daemon
from helpers.repositories import everything_of, git

LOOK = """
import base64, json, os, stat, sys
seen = {}
for directory, subdirectories, names in os.walk(b"."):
    subdirectories[:] = [name for name in subdirectories if name != b".git"]
    links = [name for name in subdirectories if os.path.islink(os.path.join(directory, name))]
    for name in [*names, *links]:
        path = os.path.join(directory, name)
        mode = os.lstat(path).st_mode
        if name == b".git" or not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            continue
        content = os.readlink(path) if stat.S_ISLNK(mode) else open(path, "rb").read()
        kind = "link" if stat.S_ISLNK(mode) else "executable" if mode & 0o100 else "file"
        seen[os.path.relpath(path, b".").hex()] = [kind, base64.b64encode(content).decode()]
json.dump(seen, open(sys.argv[1], "w"))
"""
Seen = dict[str, list[str]]


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningDaemon]:
    """Give one daemon for all repositories."""
    with a_daemon() as running:
        yield running


def _look(workspace: Path, place: Path) -> Seen:
    """See what a command in this directory sees: name → type and content."""
    subprocess.run(["python3", "-c", LOOK, place], cwd=workspace, check=True)
    seen: Seen = json.loads(place.read_text())
    return seen


def _expected(workspace: Path, tmp_path: Path, stash: str) -> Seen:
    """Give what the run is to see: what the user has and Git does not ignore; of a sparse checkout the rest of the tree."""
    had = _look(workspace, tmp_path / "had.json")
    listed = {name for name in _listed(workspace) if name.hex() in had}
    expected = {name.hex(): had[name.hex()] for name in listed}
    if git(workspace, "config", "--default", "true", "core.fileMode") == "false":
        modes = _modes(workspace, stash)
        expected = {name: ["executable" if modes[name] == "100755" else kind, text] if kind != "link" else [kind, text]
                    for name, (kind, text) in expected.items()}  # fmt: skip
        expected = {
            name: ["file", text] if modes[name] == "100644" else [kind, text] for name, (kind, text) in expected.items()
        }
    return expected


def _listed(workspace: Path, prefix: bytes = b"") -> set[bytes]:
    arguments = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(arguments, cwd=workspace, capture_output=True, check=True).stdout.split(b"\0")[:-1]
    found = {prefix + name for name in names}
    for name in names:
        below = workspace / os.fsdecode(name)
        if (below / ".git").exists():
            found |= _listed(below, prefix + name + b"/")
    return found


def _modes(workspace: Path, rev: str) -> dict[str, str]:
    arguments = ["git", "ls-tree", "-r", "-z", "--full-tree", rev]
    lines = subprocess.run(arguments, cwd=workspace, capture_output=True, check=True).stdout.split(b"\0")[:-1]
    return {line.split(b"\t", 1)[1].hex(): line[:6].decode() for line in lines}


@pytest.mark.parametrize("make", REPOSITORIES.values(), ids=REPOSITORIES)
def test_what_the_user_had_is_what_runs(shared: RunningDaemon, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """The run sees every file as the user had it; workspace and Git directory are as they were, to the inode."""
    workspace = make(tmp_path)
    places = [place for place in (workspace, tmp_path / "of", tmp_path / "elsewhere") if place.exists()]
    before = [everything_of(place) for place in places]

    shared.expctl(workspace, "submit", "-n", "look", "--", "python3", "-c", LOOK, str(tmp_path / "seen.json"))

    assert [everything_of(place) for place in places] == before
    shared.expctl(workspace, "wait", "look")
    (entry,) = shared.entries(workspace, "look")
    assert entry["outcome"] == "succeeded", entry
    seen: Seen = json.loads((tmp_path / "seen.json").read_text())
    expected = _expected(workspace, tmp_path, str(entry["stash_rev"]))
    if "sparse" not in make.__name__:
        assert seen.keys() == expected.keys()
    assert {name: seen.get(name) for name in expected} == expected
    tree = git(workspace, "rev-parse", f"{entry['stash_rev']}^{{tree}}")
    assert git(workspace, "rev-parse", f"{entry['experiment_rev']}^{{tree}}") == tree
    if make.__name__ not in {"with_submodules", "with_lfs"}:
        assert _tree_by_git(workspace, tmp_path) == tree
        assert _applied_in_a_clone(workspace, tmp_path, str(entry["stash_rev"])) == tree


def _tree_by_git(workspace: Path, tmp_path: Path) -> str:
    """Let Git itself store the workspace, through an index of its own."""
    index = Path(git(workspace, "rev-parse", "--absolute-git-dir"), "index")
    shutil.copy2(index, tmp_path / "index")  # with its time, by which Git knows what it can't believe
    environ = {**os.environ, "GIT_INDEX_FILE": str(tmp_path / "index")}
    add = ["git", "add", "--all"]
    subprocess.run(add, cwd=workspace, env=environ, check=True, capture_output=True)
    written = subprocess.run(
        ["git", "write-tree"], cwd=workspace, env=environ, check=True, capture_output=True, text=True
    )
    return written.stdout.strip()


def _applied_in_a_clone(workspace: Path, tmp_path: Path, stash: str) -> str:
    """Give the tree that `git stash apply` makes in a fresh clone."""
    clone = tmp_path / "clone"
    git(workspace, "update-ref", "refs/heads/stashed", stash)
    git(tmp_path, "clone", "--quiet", "--no-local", "--no-checkout", f"file://{workspace}", "clone")
    for key, default in {"core.autocrlf": "false", "core.symlinks": "true"}.items():
        git(clone, "config", key, git(workspace, "config", "--default", default, key))
    git(clone, "checkout", "--quiet", "--detach", git(workspace, "rev-parse", "HEAD"))
    git(clone, "stash", "apply", "--quiet", stash)
    return _tree_by_git(clone, tmp_path)


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_captured_is_refused(
    shared: RunningDaemon, tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    """Whoever submits is told what is in the way, and nothing is changed or queued."""
    workspace = make(tmp_path)
    before, queued = everything_of(workspace), len(shared.entries(tmp_path))

    refused = shared.run_expctl(workspace, "submit", "--", "true")

    assert refused.returncode == 6
    assert said in refused.stderr.decode()
    assert everything_of(workspace) == before
    assert len(shared.entries(tmp_path)) == queued


def test_a_partial_clone_is_captured_once_it_has_what_it_needs(shared: RunningDaemon, tmp_path: Path) -> None:
    """What the refusal says to do helps."""
    workspace = REFUSED["partial and sparse"][0](tmp_path)

    git(workspace, "archive", "--output", str(tmp_path / "archive.tar"), "HEAD")

    shared.expctl(workspace, "submit", "-n", "whole", "--", "cat", "d/deep/c.txt")
    assert shared.run_expctl(workspace, "follow", "whole").stdout == b"c\n"


@pytest.mark.parametrize("attributes", ["", "*.txt text\n"], ids=["plain", "with attributes"])
def test_a_run_may_make_and_change_names_that_are_no_utf8(
    shared: RunningDaemon, tmp_path: Path, attributes: str
) -> None:
    """What it changes, deletes and makes is in its commit by its bytes; what such a name in .gitignore excludes is not."""
    workspace = REPOSITORIES["names of bytes"](tmp_path)
    (workspace / ".gitattributes").write_text(attributes)
    script = (
        "printf 'run\\n' > \"$(printf 'caf\\351.txt')\"; rm \"$(printf 'dir\\350')/x\"; mkdir \"$(printf 'm\\377')\"; "
        "printf 'a\\r\\n' > \"$(printf 'm\\377')/made\\355.txt\"; touch \"$(printf 'secr\\351t2')\" \"$(printf 'x\\351.log')\""
    ).replace("made\\355.txt", "$(printf 'made\\355.txt')")

    shared.expctl(workspace, "submit", "-n", "bytes", "--", "sh", "-c", script)
    shared.expctl(workspace, "wait", "bytes")

    (entry,) = shared.entries(workspace, "bytes")
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "-z", "--name-only", str(entry["experiment_rev"])],
        cwd=workspace, capture_output=True, check=True,
    ).stdout.split(b"\0")  # fmt: skip
    odd = [name for name in listed if any(byte > 127 for byte in name)]
    assert odd == [b"caf\xe9.txt", b"dir\xe8/new\xe9", b"m\xff/made\xed.txt"]
    assert _content(workspace, str(entry["experiment_rev"]), b"caf\xe9.txt") == b"run\n"
    made = _content(workspace, str(entry["experiment_rev"]), b"m\xff/made\xed.txt")
    assert made == (b"a\n" if attributes else b"a\r\n")


def _content(workspace: Path, rev: str, name: bytes) -> bytes:
    return subprocess.run(
        ["git", "cat-file", "blob", rev.encode() + b":" + name], cwd=workspace, capture_output=True, check=True
    ).stdout
