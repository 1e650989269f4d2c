"""A worktree that was used before holds what a fresh checkout would, whatever its last run did to it."""

import os
import random
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.pictures import picture_of
from daemon.worktrees import a_file, check_out, content_of
from expd.execute.kept import keep_aside
from expd.execute.manifest import Manifest, load_manifest, row_of, save_manifest, stamp_of
from expd.execute.worktree import directories_of, make_slot, remove_tree
from expd.execute.worktree import tracked_changes as changes_of
from expd.gitio.repository import EXECUTABLE, LINK, REGULAR, SUBMODULE, TreeFile
from expproto.vocabulary import RunId
from helpers.repositories import a_repository
from helpers.waiting import eventually

NAMES = ("a", "b", "dir", "with space", "caf\udce9", "\u00fc.txt", "-n", "new\nline")
"""One of them is no UTF-8: os.fsdecode(b"caf\\xe9")."""
CONTENTS = ("one\n", "two\n", "", "three\r\n", "\0binary")
Tree = dict[str, TreeFile]

_leaves = st.one_of(
    st.tuples(st.sampled_from([int(REGULAR), int(EXECUTABLE)]), st.sampled_from(CONTENTS)),
    st.tuples(st.just(int(LINK)), st.sampled_from(["a", "../outside", "nowhere", "dir"])),
    st.tuples(st.just(int(SUBMODULE)), st.sampled_from(["not checked out", "filled"])),
)
_nodes = st.recursive(
    st.dictionaries(st.sampled_from(NAMES), _leaves, max_size=5),
    lambda below: st.dictionaries(st.sampled_from(NAMES), st.one_of(_leaves, below), max_size=5),
    max_leaves=12,
)


def _flatten(node: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, TreeFile]]:
    for name, item in node.items():
        if isinstance(item, dict):
            yield from _flatten(item, f"{prefix}{name}/")
        else:
            assert isinstance(item, tuple)
            mode, content = item
            yield prefix + name, a_file(content, mode)
            if content == "filled":
                yield f"{prefix}{name}/.git", a_file("gitdir: elsewhere\n")
                yield f"{prefix}{name}/a", a_file("one\n")


trees = _nodes.map(lambda node: dict(_flatten(node)))


def aged(start_ns: int) -> Callable[[TreeFile, str], bytes]:
    """Give the content of files, the last one late: everything before it is then old enough to be believed unchanged."""

    def read(file: TreeFile, path: str) -> bytes:
        if path == "~last":
            eventually(lambda: time.time_ns() > start_ns + 60_000_000, "the clock goes on")
        return content_of(file, path)

    return read


def check_out_aged(worktree: Path, tree: Tree) -> Manifest:
    """Check a tree out so that its files are believed unchanged afterwards."""
    last = {"~last": a_file("last")}
    return check_out(worktree, {**tree, **last}, aged(time.time_ns()))


class Vandal:
    """A run that does random damage below a directory, and knows one beside it."""

    def __init__(self, worktree: Path, outside: Path, chance: random.Random) -> None:
        self._worktree = worktree
        self._outside = outside
        self._chance = chance

    def run(self, rounds: int) -> None:
        """Do some damage; what can't be done any more is passed over."""
        for _round in range(rounds):
            try:
                self._chance.choice(
                    [
                        self._edit, self._edit_unseen, self._delete, self._add, self._change_mode, self._link_outside,
                        self._replace_by_directory, self._replace_by_file, self._hard_link, self._special_file,
                        self._swap, self._adopt,
                    ]
                )()  # fmt: skip
            except OSError:
                continue

    def _any(self) -> Path:
        paths = [Path(parent, name) for parent, dirs, files in os.walk(self._worktree) for name in (*dirs, *files)]
        return self._chance.choice(sorted(paths) or [self._worktree / "a"])

    def _edit(self) -> None:
        path = self._any()
        if path.is_file() and not path.is_symlink():
            path.write_text(self._chance.choice(CONTENTS))

    def _edit_unseen(self) -> None:
        """Another content of the same size, with the times of before."""
        path = self._any()
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _delete(self) -> None:
        remove_tree(self._any())

    def _add(self) -> None:
        directory = self._worktree / self._chance.choice(NAMES) / self._chance.choice(NAMES)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / self._chance.choice(NAMES)).write_text("new\n")

    def _change_mode(self) -> None:
        path = self._any()
        if not path.is_symlink():
            path.chmod(self._chance.choice([0o000, 0o400, 0o755, 0o777, 0o4755]))

    def _link_outside(self) -> None:
        path = self._any()
        remove_tree(path)
        path.symlink_to(self._outside)

    def _replace_by_directory(self) -> None:
        path = self._any()
        remove_tree(path)
        (path / "a").mkdir(parents=True)

    def _replace_by_file(self) -> None:
        path = self._any()
        remove_tree(path)
        path.write_text("two\n")

    def _hard_link(self) -> None:
        """A file of the outside takes a file's place: what is written into it would be written outside."""
        path = self._any()
        remove_tree(path)
        os.link(self._outside / "precious", path)

    def _special_file(self) -> None:
        path = self._any()
        remove_tree(path)
        os.mkfifo(path)

    def _swap(self) -> None:
        one, other = self._any(), self._any()
        one.rename(self._worktree / "between")
        other.rename(one)
        (self._worktree / "between").rename(other)

    def _adopt(self) -> None:
        """A second name for a file that was checked out."""
        path = self._any()
        if path.is_file() and not path.is_symlink():
            os.link(path, path.with_name("second"))


def _with_changes(first: Tree, second: Tree) -> Tree:
    """Let a tree have some files of another one, but none where it has files below."""
    changed = {path: file for path, file in second.items() if path in first}
    return {**first, **{path: file for path, file in changed.items() if not _has_below(first, path)}}


def _has_below(tree: Tree, path: str) -> bool:
    return any(other.startswith(f"{path}/") for other in tree)


@settings(max_examples=80, deadline=None)
@given(
    first=trees,
    second=trees,
    chance=st.randoms(use_true_random=False),
    rounds=st.integers(0, 12),
    alike=st.booleans(),
    is_young=st.booleans(),
)
def test_a_used_worktree_equals_a_fresh_one(
    *, first: Tree, second: Tree, chance: random.Random, rounds: int, alike: bool, is_young: bool
) -> None:
    """After any damage the next tree stands as a fresh checkout would: bytes, modes, links; nothing outside changes.

    The damage may come so soon that it changes no time of a file.
    """
    with tempfile.TemporaryDirectory() as place:
        slot, fresh, outside = Path(place, "slot"), Path(place, "fresh"), Path(place, "outside")
        outside.mkdir()
        (outside / "precious").write_text("precious\n")
        (outside / "a").write_text("outside\n")
        wanted = _with_changes(first, second) if alike else second
        if is_young:
            check_out(slot, first, content_of)
        else:
            check_out_aged(slot, first)
        Vandal(slot, outside, chance).run(rounds)
        before = picture_of(outside)

        check_out(slot, wanted, content_of)

        check_out(fresh, wanted, content_of)
        assert picture_of(slot) == picture_of(fresh)
        assert picture_of(outside) == before


def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    """Files that two trees have alike keep their inode; one that was edited, and put back in time, does not."""
    tree = {name: a_file("one\n") for name in ("kept", "edited", "replaced")}
    check_out_aged(tmp_path / "slot", tree)
    inodes = {name: (tmp_path / "slot" / name).stat().st_ino for name in tree}
    edited = tmp_path / "slot" / "edited"
    times = (edited.stat().st_atime_ns, edited.stat().st_mtime_ns)
    edited.write_text("two\n")
    os.utime(edited, ns=times)

    read: list[str] = []

    def remember(file: TreeFile, path: str) -> bytes:
        read.append(path)
        return content_of(file, path)

    check_out(tmp_path / "slot", {**tree, "replaced": a_file("new\n")}, remember)

    assert sorted(read) == ["edited", "replaced"]
    assert (tmp_path / "slot" / "kept").stat().st_ino == inodes["kept"]
    assert edited.read_text() == "one\n"


def test_files_as_young_as_the_manifest_are_not_believed(tmp_path: Path) -> None:
    """A file written in the instant of the manifest is written again: an edit then would leave the same stamp."""
    tree = {"young": a_file("one\n")}
    check_out(tmp_path / "slot", tree, content_of)

    manifest = load_manifest(tmp_path / "slot")

    assert changes_of(tmp_path / "slot", manifest).touched == ("young",)


def test_young_files_that_hold_what_is_wanted_stay(tmp_path: Path) -> None:
    """They are read and keep their inodes, but not one that was edited, or has a second name, in the instant of the manifest."""
    tree = {name: a_file("one\n") for name in ("kept", "edited", "linked")}
    slot = tmp_path / "slot"
    check_out(slot, tree, content_of)
    os.link(slot / "linked", tmp_path / "second")
    (slot / "edited").write_text("two\n")
    _pretend(slot)
    inodes = {name: (slot / name).stat().st_ino for name in tree}

    check_out(slot, tree, content_of)

    assert {name: (slot / name).read_text() for name in tree} == dict.fromkeys(tree, "one\n")
    assert (slot / "kept").stat().st_ino == inodes["kept"]
    assert (slot / "linked").stat().st_nlink == 1


def _pretend(slot: Path) -> None:
    """Let a manifest know files as they are now, as if all had happened within one tick of the clock that stamps them."""
    known = load_manifest(slot)
    rows = b"".join(row_of(file, stamp_of((slot / path).lstat())) for path, file in known.files())
    save_manifest(slot, replace(known, rows=rows, stamped_ns=time.time_ns()))


def test_a_private_file_stays_where_it_holds_the_same(tmp_path: Path) -> None:
    """It is beside the checkout: with other bytes or another mode it goes, and so does whatever else is there."""
    tree = {".dvc/config": a_file("one\n")}
    private = {f".dvc/{name}": b"local\n" for name in ("same", "other", "open")}
    slot = tmp_path / "slot"
    check_out(slot, tree, content_of)
    for name, content in (("same", "local\n"), ("other", "loca1\n"), ("open", "local\n"), ("unknown", "local\n")):
        (slot / ".dvc" / name).write_text(content)
        (slot / ".dvc" / name).chmod(0o644 if name == "open" else 0o600)

    check_out(slot, tree, content_of, private)

    assert sorted(path.name for path in (slot / ".dvc").iterdir()) == ["config", "same"]


@pytest.mark.parametrize("damage", [b"", b"not msgpack", b"\x93\x01\x00\x91\x90", b"\x93\x63\x00\x90", b"\xc0", b"cut"])
def test_a_damaged_manifest_is_no_manifest(tmp_path: Path, damage: bytes) -> None:
    """With a manifest that makes no sense everything is checked out again."""
    tree = {"file": a_file("one\n")}
    check_out_aged(tmp_path / "slot", tree)
    (tmp_path / "slot" / "file").write_text("two\n")
    stored = tmp_path / "slot.manifest"
    stored.write_bytes(stored.read_bytes()[:-1] if damage == b"cut" else damage)

    check_out(tmp_path / "slot", tree, content_of)

    assert (tmp_path / "slot" / "file").read_text() == "one\n"


def test_a_checkout_that_was_interrupted_is_not_trusted(tmp_path: Path) -> None:
    """When reading a file fails half way, the next checkout starts from nothing and is whole."""
    tree = {name: a_file("one\n") for name in ("a", "b", "c")}
    check_out_aged(tmp_path / "slot", tree)

    def fail(file: TreeFile, path: str) -> bytes:
        if path == "b":
            raise OSError(5, "Input/output error")
        return content_of(file, path)

    changed = {name: a_file("two\n") for name in tree}
    with pytest.raises(OSError, match="Input/output"):
        check_out(tmp_path / "slot", changed, fail)
    check_out(tmp_path / "slot", tree, content_of)

    assert {name: (tmp_path / "slot" / name).read_text() for name in tree} == dict.fromkeys(tree, "one\n")


def test_a_link_in_place_of_the_worktree_is_not_followed(tmp_path: Path) -> None:
    """A run that put a link to somebody's project where its worktree was harms nothing there, `.git` included."""
    project = a_repository(tmp_path / "project", {"file": "precious\n"})
    before = picture_of(project)
    slot = tmp_path / "slot"
    check_out(slot, {}, content_of)
    shutil.rmtree(slot)
    slot.symlink_to(project)

    make_slot(slot)
    remove_tree(slot / ".git")
    check_out(slot, {"file": a_file("one\n")}, content_of)

    assert picture_of(project) == before
    assert not slot.is_symlink()
    assert (slot / "file").read_text() == "one\n"


def test_the_worktree_itself_gets_its_mode_back(tmp_path: Path) -> None:
    """A run that closed its own worktree does not close it to the next one."""
    slot = tmp_path / "slot"
    check_out(slot, {}, content_of)
    slot.chmod(0o500)

    check_out(slot, {"file": a_file("one\n")}, content_of)

    assert stat.S_IMODE(slot.stat().st_mode) == 0o700


def test_a_kept_worktree_leaves_an_empty_slot(tmp_path: Path) -> None:
    """What is kept for a look is complete, and the slot knows nothing of it."""
    tree = {"file": a_file("one\n")}
    slot = tmp_path / "worktrees" / "0"
    check_out_aged(slot, tree)
    (slot / "made").write_text("made\n")

    keep_aside(slot, RunId(1), kept_max=1)
    check_out(slot, tree, content_of)

    assert sorted(path.name for path in (tmp_path / "kept" / "1").iterdir()) == ["file", "made", "~last"]
    assert [path.name for path in slot.iterdir()] == ["file"]


def test_every_directory_of_the_wanted_files_is_known() -> None:
    """Deep and shallow ones, whichever is named first: one that is missed is removed, and its files are written again."""
    assert directories_of(["a/b/c/deep", "a/beside", "top", "z/y/x", "a/b/other"]) == {"a", "a/b", "a/b/c", "z", "z/y"}
