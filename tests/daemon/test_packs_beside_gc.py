"""Packs that are written while `git gc` is under way stay whole, and one that lost its index gets it again."""

import hashlib
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from expd.collect.filing import Result, file_result
from expd.gitio.indexing import CannotIndex, index_again, index_of
from expd.gitio.packing import Kind, NewObject, new_object, pack_and_index, write_pack
from expproto.vocabulary import Rev
from helpers.repositories import a_repository, git
from helpers.waiting import eventually

MANY_PACKS, NEW_PACKS = 1000, 600
"""So many names that they are not read in one piece."""


def test_packs_that_come_while_git_repacks_stay(tmp_path: Path) -> None:
    """`git repack` removes at its end the packs that it listed at its beginning: none of ours that it could not look into.

    Of 800 packs up to three were lost before each had its mark before its name.
    """
    path = a_repository(tmp_path / "r", {f"f{number}": f"{number}\n" for number in range(200)})
    done = threading.Event()

    def repack() -> None:
        while not done.is_set():
            git(path, "repack", "-d", "-l", "-A", "--unpack-unreachable=2.weeks.ago", "-q")

    repacking = threading.Thread(target=repack)
    repacking.start()
    news = [new_object("blob", b"%d" % number + b"x" * 4000) for number in range(400)]
    try:
        for new in news:
            write_pack(path / ".git" / "objects", [new])
    finally:
        done.set()
        repacking.join()

    handle = pygit2.Repository(str(path))
    assert [new.id.hex() for new in news if pygit2.Oid(raw=new.id) not in handle] == []


@contextmanager
def _listing(path: Path) -> Iterator[None]:
    """Be a `git gc` that reads the names of packs for as long as the block."""
    script = "import os, sys; os.open(sys.argv[1], os.O_RDONLY); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(path / ".git" / "objects" / "pack")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (path / ".git" / "gc.pid").write_text(f"{process.pid} {os.uname().nodename}")
        try:
            yield
        finally:
            process.kill()


def test_no_index_comes_while_a_collection_lists_packs(tmp_path: Path) -> None:
    """What comes while names are read may be seen or not: an index without its pack would be removed as garbage."""
    path = a_repository(tmp_path / "r")
    packs = path / ".git" / "objects" / "pack"
    new = new_object("blob", b"new")
    writing = threading.Thread(target=write_pack, args=(path / ".git" / "objects", [new]), kwargs={"is_kept": True})

    with _listing(path):
        writing.start()
        eventually(lambda: list(packs.glob("*.pack")), "the pack")
        writing.join(0.2)
        assert list(packs.glob("*.idx")) == []
        assert writing.is_alive()
    writing.join()

    assert pygit2.Oid(raw=new.id) in pygit2.Repository(str(path))


@pytest.mark.faults
def test_packs_that_come_while_git_collects_stay(tmp_path: Path) -> None:
    """Beside `git gc` again and again, in a repository with many packs: of 600 two lost their index before it waited."""
    path = a_repository(tmp_path / "r")
    objects = path / ".git" / "objects"
    for number in range(MANY_PACKS):
        write_pack(objects, [new_object("blob", b"old %d" % number)], is_kept=True)
    done = threading.Event()

    def collect() -> None:
        while not done.is_set():
            git(path, "gc", "--quiet")

    collecting = threading.Thread(target=collect)
    collecting.start()
    try:
        for number in range(NEW_PACKS):
            write_pack(objects, [new_object("blob", b"new %d" % number)], is_kept=True)
    finally:
        done.set()
        collecting.join()

    assert [pack for pack in (objects / "pack").glob("*.pack") if not pack.with_suffix(".idx").exists()] == []


KINDS: st.SearchStrategy[Kind] = st.sampled_from(["blob", "tree", "commit"])


@settings(deadline=None)
@given(contents=st.lists(st.tuples(KINDS, st.binary(max_size=300) | st.just(b"x" * 70_000)), max_size=20))
def test_an_index_is_computed_from_its_pack(contents: list[tuple[Kind, bytes]]) -> None:
    """Byte for byte the one that it had."""
    objects = {new.id: new for new in (new_object(kind, data) for kind, data in contents)}

    pack, index = pack_and_index(list(objects.values()))

    assert index_of(pack) == index


def test_a_pack_that_is_damaged_or_not_ours_gets_no_index_of_ours(tmp_path: Path) -> None:
    """Bytes that changed, and the deltas that Git makes, are left to Git."""
    pack, _index = pack_and_index([new_object("blob", b"one")])
    text = "".join(f"line {number}\n" for number in range(500))
    path = a_repository(tmp_path / "r", {"a": text, "b": f"{text}more\n"})
    git(path, "gc", "--quiet")
    (theirs,) = (path / ".git" / "objects" / "pack").glob("*.pack")

    for content in (pack[:-1], pack[:12] + b"\0" + pack[13:], b"", theirs.read_bytes()):
        with pytest.raises(CannotIndex):
            index_of(content)
    theirs.with_suffix(".idx").unlink()
    assert index_again(path / ".git" / "objects") == []


BOMB = zlib.compress(bytes(1 << 20))


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"\xb0",
        b"\x35not deflated",
        b"\x35" + zlib.compress(b"four"),
        b"\x35" + BOMB,
        b"\x35" + zlib.compress(b"12345")[:-5],
    ],
    ids=["nothing", "half a header", "no deflate", "less than it says", "far more than it says", "cut short"],
)
def test_a_pack_that_is_sound_by_its_checksum_alone_is_refused(entry: bytes) -> None:
    """Whoever made it computed the checksum of nonsense: it is no pack of ours, and harms nobody."""
    body = b"PACK" + (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + entry

    with pytest.raises(CannotIndex):
        index_of(body + hashlib.sha1(body, usedforsecurity=False).digest())


async def test_a_result_whose_pack_lost_its_index_is_filed(tmp_path: Path) -> None:
    """What a collection took for garbage is made again from the pack, and the result has its ref."""
    path = a_repository(tmp_path / "r")
    head = Rev(git(path, "rev-parse", "HEAD").strip())
    commit = _commit_on(path, head)
    write_pack(path / ".git" / "objects", [commit], is_kept=True)
    (index,) = (path / ".git" / "objects" / "pack").glob("*.idx")
    index.unlink()
    rev = Rev(commit.id.hex())

    result = Result(git_directory=path / ".git", baseline_rev=head, name="found", rev=rev, force=False)
    with trio.fail_after(20):
        assert await file_result(result, trio.CapacityLimiter(1)) == "found"

    assert git(path, "rev-parse", f"refs/exps/{head[:2]}/{head[2:]}/found").strip() == rev
    git(path, "fsck", "--strict")


def _commit_on(path: Path, parent: Rev) -> NewObject:
    tree = git(path, "rev-parse", "HEAD^{tree}").strip()
    who = "Ada <ada@example.org> 1 +0000"
    return new_object("commit", f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nx\n".encode())
