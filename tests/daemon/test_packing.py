"""Objects written together are those that Git would have written one by one."""

import random
from collections.abc import Mapping
from pathlib import Path

import pygit2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expd.gitio.errors import GitFailed
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
