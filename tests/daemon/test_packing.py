"""Objects written together are those that Git would have written one by one."""

import contextlib
import os
import random
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

import pygit2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expd.gitio.errors import GitFailed, ObjectMissing
from expd.gitio.loose import write_loose
from expd.gitio.packing import Kind, new_object, pack_and_index, write_pack
from expd.gitio.repository import EMPTY_TREE, EXECUTABLE, LINK, REGULAR, Identity, Repository, TreeFile
from expproto.vocabulary import Rev
from helpers.repositories import git

IDENTITY = Identity(name="  A, B. ", email="a@b", at=1_700_000_000.9)
FILES = ["a", "a.b", "a/b", "a/c/d", "ab", "b/c", "b.c", "b", "ü/x", "z/y/x/w"]
MODES = st.sampled_from([REGULAR, EXECUTABLE, LINK])


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give an empty repository."""
    pygit2.init_repository(str(tmp_path / "repository"), bare=True)
    return Repository(tmp_path / "repository")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Give a repository that many examples write to."""
    path = tmp_path_factory.mktemp("shared") / "repository"
    pygit2.init_repository(str(path), bare=True)
    return Repository(path)


@settings(deadline=None, max_examples=100)
@given(
    contents=st.lists(
        st.tuples(st.sampled_from(["blob", "blob", "tree"]), st.binary(max_size=200) | st.just(b"x" * 70_000)),
        min_size=1,
        max_size=40,
    )
)
def test_a_pack_is_read_by_git(contents: list[tuple[Kind, bytes]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Sizes around every length of the header; Git's own check of pack and index, and every object as it was given."""
    path = tmp_path_factory.mktemp("packed")
    pygit2.init_repository(str(path), bare=True)
    objects = {new.id: new for new in (new_object("blob", data) for _kind, data in contents)}
    write_pack(path / "objects", list(objects.values()))

    (index,) = (path / "objects" / "pack").glob("*.idx")
    git(path, "verify-pack", str(index))
    handle = pygit2.Repository(str(path))
    assert {key: handle[pygit2.Oid(raw=key)].read_raw() for key in objects} == {
        key: new.data for key, new in objects.items()
    }
    assert sorted(file.name.split("-")[0] for file in (path / "objects" / "pack").iterdir()) == ["pack", "pack"]


def test_an_object_has_the_id_that_git_gives_it(repository: Repository) -> None:
    """Of all kinds."""
    for kind, data in (("blob", b""), ("blob", b"x\\0y"), ("tree", b"")):
        written = repository.handle.odb.write({"blob": 3, "tree": 2}[kind], data)
        assert new_object(kind, data).id == written.raw  # type: ignore[arg-type]


def test_too_much_for_one_pack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets beyond what the index holds are no silent damage."""
    monkeypatch.setattr("expd.gitio.packing._OFFSET_MAX", 100)
    with pytest.raises(ValueError, match="too much"):
        pack_and_index([new_object("blob", random.Random(1).randbytes(200))])


@settings(deadline=None, max_examples=200)
@given(
    before=st.dictionaries(st.sampled_from(FILES), MODES, max_size=8),
    changes=st.dictionaries(st.sampled_from(FILES), MODES | st.none(), max_size=5),
)
def test_an_edited_tree_is_the_one_that_the_index_makes(
    shared: Repository, before: Mapping[str, int], changes: Mapping[str, int | None]
) -> None:
    """Also where a file takes the place of a directory, or the other way round, and where nothing is left."""
    blob = shared.write_blob(b"x")
    start = _by_index(shared, EMPTY_TREE, before, blob)
    disjoint = {
        path: mode for path, mode in changes.items() if not any(path.startswith(f"{other}/") for other in changes)
    }

    made = shared.edit_tree(
        start, {path: None if mode is None else TreeFile(rev=blob, mode=mode) for path, mode in disjoint.items()}
    )

    assert made == _by_index(shared, start, disjoint, blob)


def _by_index(repository: Repository, tree: Rev, changes: Mapping[str, int | None], blob: Rev) -> Rev:
    """Make the tree the long way: through an index of all files."""
    index = pygit2.Index()
    if tree != EMPTY_TREE:
        index.read_tree(repository.handle[tree].peel(pygit2.Tree))
    for path, mode in changes.items():
        present = [entry.path for entry in index]
        if mode is None:
            if path in present:
                index.remove(path)
            continue
        parents = {str(parent) for parent in Path(path).parents}
        for other in present:
            if other.startswith(f"{path}/") or other in parents:
                index.remove(other)
        index.add(pygit2.IndexEntry(path, pygit2.Oid(hex=blob), pygit2.enums.FileMode(mode)))
    return Rev(str(index.write_tree(repository.handle)))


@pytest.mark.parametrize("count", [1, 40])
def test_what_is_written_together_is_what_would_be_written_alone(tmp_path: Path, count: int) -> None:
    """The same blobs, trees and commits, few as loose objects and many as a pack; and Git finds nothing to complain of."""
    revs = []
    for name in ("alone", "together"):
        pygit2.init_repository(str(tmp_path / name), bare=True)
        repository = Repository(tmp_path / name)
        if name == "together":
            with repository.together():
                revs.append(_commits(repository, count))
        else:
            revs.append(_commits(repository, count))
        git(tmp_path / name, "fsck", "--strict")
        assert all(repository.has_object(rev) for rev in revs[-1])

    assert revs[0] == revs[1]
    packs = list((tmp_path / "together" / "objects" / "pack").glob("*.pack"))
    assert len(packs) == (1 if count == 40 else 0)


def _commits(repository: Repository, count: int) -> list[Rev]:
    parents: list[Rev] = []
    for number in range(count):
        blob = repository.write_blob(b"%d" % number)
        tree = repository.edit_tree(EMPTY_TREE, {"d/e": TreeFile(rev=blob, mode=REGULAR)})
        tree = repository.edit_tree(tree, {"f": TreeFile(rev=blob, mode=EXECUTABLE)})
        parents.append(repository.write_commit(tree, parents[-2:], f"number {number}\\n\\nü", IDENTITY))
    return parents


def test_nothing_is_written_of_a_piece_of_work_that_fails(repository: Repository) -> None:
    """Neither loose nor packed."""
    with pytest.raises(GitFailed), repository.together():
        _commits_and_nonsense(repository)

    objects = Path(repository.handle.path) / "objects"
    assert [path for path in objects.rglob("*") if path.is_file()] == []


def _commits_and_nonsense(repository: Repository) -> None:
    _commits(repository, 40)
    repository.edit_tree(Rev("1" * 40), {})


@pytest.mark.parametrize("path", ["../x", ".git/config", "a/../b", "a/.GIT/x", "a//b", "/a", "git~1", ""])
def test_a_path_that_leads_elsewhere_is_no_change_of_a_tree(repository: Repository, path: str) -> None:
    """As libgit2 refuses them for an index."""
    with pytest.raises(GitFailed):
        repository.edit_tree(EMPTY_TREE, {path: TreeFile(rev=EMPTY_TREE, mode=REGULAR)})


def test_a_loose_object_is_the_file_that_libgit2_writes(tmp_path: Path) -> None:
    """Name, content and mode; nothing else is left beside it."""
    for name in ("ours", "theirs"):
        pygit2.init_repository(str(tmp_path / name), bare=True)
    write_loose(tmp_path / "ours" / "objects", [new_object("blob", b"content")])
    pygit2.Repository(str(tmp_path / "theirs")).create_blob(b"content")

    ours, theirs = (loose_files(tmp_path / name) for name in ("ours", "theirs"))
    assert ours == theirs
    assert len(ours) == 1


def loose_files(repository: Path) -> dict[str, tuple[bytes, int]]:
    """Give what object files hold, and their modes."""
    objects = repository / "objects"
    return {
        str(path.relative_to(objects)): (zlib.decompress(path.read_bytes()), path.stat().st_mode)
        for path in objects.rglob("*")
        if path.is_file()
    }


def test_an_object_that_is_there_is_made_young(tmp_path: Path) -> None:
    """A collection takes what is old and named by nothing; and an empty file, as a power cut leaves it, is no object."""
    pygit2.init_repository(str(tmp_path / "r"), bare=True)
    old, empty = new_object("blob", b"old"), new_object("blob", b"empty")
    objects = tmp_path / "r" / "objects"
    write_loose(objects, [old, empty])
    place, broken = (objects / new.id.hex()[:2] / new.id.hex()[2:] for new in (old, empty))
    os.utime(place, (1, 1))
    broken.chmod(0o644)
    broken.write_bytes(b"")

    write_loose(objects, [old, empty])

    assert place.stat().st_mtime > 1
    assert pygit2.Repository(str(tmp_path / "r"))[pygit2.Oid(raw=empty.id)].read_raw() == b"empty"


def test_directories_that_a_prune_removes_are_made_again(tmp_path: Path) -> None:
    """`git prune` beside us removes a directory between its making and the object's; every object is there at the end."""
    pygit2.init_repository(str(tmp_path / "r"), bare=True)
    objects = tmp_path / "r" / "objects"
    done = threading.Event()

    def remove_empty_directories() -> None:
        while not done.is_set():
            for directory in objects.iterdir():
                with contextlib.suppress(OSError):
                    directory.rmdir()

    remover = threading.Thread(target=remove_empty_directories)
    remover.start()
    news = [new_object("blob", b"%d" % number) for number in range(500)]
    try:
        for new in news:
            write_loose(objects, [new])
    finally:
        done.set()
        remover.join()

    handle = pygit2.Repository(str(tmp_path / "r"))
    assert all(handle[pygit2.Oid(raw=new.id)].read_raw() == new.data for new in news)


def test_objects_written_together_are_on_the_disk_before_their_names(tmp_path: Path) -> None:
    """Each file is synced before the first has its name, and each directory after the last: a power cut leaves no empty object."""
    objects = tmp_path / "r" / "objects"
    pygit2.init_repository(str(tmp_path / "r"), bare=True)
    script = (
        "import sys, pathlib; from expd.gitio.loose import write_loose; from expd.gitio.packing import new_object\n"
        "write_loose(pathlib.Path(sys.argv[1]), [new_object('blob', b'%d' % number) for number in range(5)])\n"
    )
    traced = ["strace", "-f", "-y", "-qq", "-e", "trace=fsync,rename", "-o", str(tmp_path / "trace")]
    try:
        subprocess.run([*traced, sys.executable, "-c", script, str(objects)], check=True)
    except FileNotFoundError:
        pytest.skip("strace is not installed")

    calls = [line.split(" ", 1)[1].strip() for line in (tmp_path / "trace").read_text().splitlines()]
    assert [call.split("(")[0] for call in calls] == ["fsync"] * 5 + ["rename"] * 5 + ["fsync"] * 6
    assert all("/tmp_obj_" in call for call in calls[:10])
    assert f"<{objects}>" in calls[-1]


def test_what_is_written_while_git_collects_is_not_pruned(repository: Repository) -> None:
    """Before its ref stands, too: `git gc` prunes loose objects last, by what had a ref a moment before."""
    path = Path(repository.handle.path)
    (path / "gc.pid").write_text("1 host")
    with repository.together():
        rev = repository.write_blob(b"not reachable yet")
    git(path, "repack", "-a", "-d", "-q")
    git(path, "prune", "--expire=now")

    assert Repository(path).has_object(rev)


def test_what_was_kept_from_a_collection_is_let_go_later(repository: Repository) -> None:
    """The mark of an hour ago goes with the next; one of somebody else stays."""
    path = Path(repository.handle.path)
    packs = path / "objects" / "pack"
    (path / "gc.pid").write_text("1 host")
    with repository.together():
        repository.write_blob(b"first")
    (old,) = packs.glob("*.keep")
    (packs / "pack-of-a-fetch.keep").write_text("fetch-pack 1")
    for mark in packs.glob("*.keep"):
        os.utime(mark, (time.time() - 3700,) * 2)
    with repository.together():
        repository.write_blob(b"second")

    assert not old.exists()
    assert (packs / "pack-of-a-fetch.keep").exists()
    assert len(list(packs.glob("*.keep"))) == 2


@pytest.mark.parametrize("gc_hours_ago", [None, 13])
def test_few_objects_are_no_pack_otherwise(repository: Repository, gc_hours_ago: int | None) -> None:
    """Without a collection, or beside the mark of one that was killed long ago, they are loose."""
    path = Path(repository.handle.path)
    if gc_hours_ago is not None:
        (path / "gc.pid").write_text("1 host")
        os.utime(path / "gc.pid", (time.time() - 3600 * gc_hours_ago,) * 2)
    with repository.together():
        repository.write_blob(b"few")

    assert list((path / "objects" / "pack").glob("*.pack")) == []


def test_a_commit_of_what_is_missing_is_not_written(repository: Repository) -> None:
    """Neither its tree nor a parent may be absent."""
    tree = repository.edit_tree(EMPTY_TREE, {"a": TreeFile(rev=repository.write_blob(b""), mode=REGULAR)})

    for missing_tree, parents in ((Rev("1" * 40), []), (tree, [Rev("1" * 40)])):
        with pytest.raises(ObjectMissing, match="11111"):
            repository.write_commit(missing_tree, parents, "", IDENTITY)
