"""What goes along with a submission to another host, over a hub that is a path: submodules, copies, and what stays of them there."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from expd.distributed.cargo import Sender, modules_of, pack_cargo, unpack_copies
from expd.distributed.hub import Hub, cargo_ref, held_as_of
from expd.distributed.hubcache import SUBMISSIONS_MAX, HubCache
from expd.gitio.borrowing import lay_borrower, lay_module
from expd.gitio.errors import GitFailed
from expd.gitio.refs import ENTRIES
from expd.gitio.repository import EMPTY_TREE, REGULAR, Identity, Repository, TreeFile
from expd.gitio.slots import module_place
from expd.gitio.submodules import submodules_of
from expd.pipeline.copies import copies_store, place_copies, store_copies
from expd.pipeline.memo import HashMemo
from expd.prepare.capture import capture_workspace, stash_points
from expproto.vocabulary import Rev
from helpers.distributed import a_hub
from helpers.repositories import a_project_with_submodules, everything_of, git, write_files

HELD_AS = "0a1b2c3d/request1"
IDENTITY = Identity(name="Ada", email="ada@example.org", at=1.0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the repositories once; Git's own commands for submodules are slow."""
    directory = tmp_path_factory.mktemp("template")
    path = a_project_with_submodules(directory)
    write_files(path, {"lib/s.txt": "edited\n", "lib/inner/i.txt": "edited inside\n"})
    return directory


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """Give a project with nested submodules that were edited."""
    shutil.copytree(template, tmp_path / "home", symlinks=True)
    return tmp_path / "home" / "project"


@pytest.fixture
def cache(tmp_path: Path) -> HubCache:
    """Give what an empty worker host has."""
    cache = HubCache(tmp_path / "far" / "hub.git")
    cache.git_directory.parent.mkdir()
    cache.make()
    return cache


def _sender(project: Path, copies: str | None = None) -> Sender:
    repository = Repository(project / ".git")
    capture = capture_workspace(repository)
    (stash_rev,) = stash_points(repository, capture, [("one", capture.files_tree)], IDENTITY)
    return Sender(git_directory=project / ".git", workspace=project, stash_rev=stash_rev, copies=copies)


async def _send(sender: Sender, tmp_path: Path, cache: HubCache) -> Rev:
    """Pack, push to a hub and fetch from there; gives the cargo."""
    cargo = pack_cargo(sender, tmp_path / "packing")
    assert cargo is not None
    url, refs = str(a_hub(tmp_path / "hub.git")), {f"{ENTRIES}{HELD_AS}": sender.stash_rev, cargo_ref(HELD_AS): cargo}
    await Hub(url=url, git_directory=tmp_path / "packing").push(refs)
    assert cache.held(HELD_AS, sender.stash_rev, cargo) is None
    await Hub(url=url, git_directory=cache.git_directory).fetch([f"+{ref}:{ref}" for ref in refs])
    assert cache.held(HELD_AS, sender.stash_rev, cargo) == sender.stash_rev
    return cargo


async def test_submodules_arrive_as_they_were_captured(project: Path, tmp_path: Path, cache: HubCache) -> None:
    """On the far host the same submodules are found by the same rule, nested ones too, with all that they hold."""
    sender = _sender(project)
    before = everything_of(project)
    cargo = await _send(sender, tmp_path, cache)
    place = tmp_path / "far" / "run.git"

    lay_borrower(place, [cache.git_directory], ("Ada", "ada@example.org"))
    modules = modules_of(Repository(place), cargo)
    for path in modules:
        lay_module(place / module_place(path, list(modules)), place)
    repository = Repository(place)
    found = list(submodules_of(repository, repository.tree_of(sender.stash_rev), None))

    assert [(each.path, each.rev) for each in found] == [(each.path, each.rev) for each in sender.submodules()]
    inner = Repository(found[1].git_directory)
    assert inner.read_file(inner.tree_of(found[1].rev), "i.txt") == b"edited inside\n"
    assert repository.identity(1.0) == IDENTITY
    assert everything_of(project) == before


def test_the_same_submission_has_the_same_cargo(project: Path, tmp_path: Path) -> None:
    """Whoever sends it again, after a crash, say, sends what is there."""
    sender = _sender(project)

    assert pack_cargo(sender, tmp_path / "first") == pack_cargo(sender, tmp_path / "second")


def test_what_needs_no_cargo_has_none(repository: Path, tmp_path: Path) -> None:
    """A submission without submodules and copies costs nothing more."""
    assert pack_cargo(_sender(repository), tmp_path / "packing") is None


async def test_copies_arrive_as_they_were_stored(repository: Path, tmp_path: Path, cache: HubCache) -> None:
    """Files with their modes and every byte, links, empty directories: placed as on the host they come from."""
    write_files(repository, {"venv/bin/tool": "#!/bin/sh\n", "venv/data.bin": "\x00\r\n", "big": "x" * 100_000})
    (repository / "venv" / "bin" / "tool").chmod(0o755)
    (repository / "venv" / "empty").mkdir()
    (repository / "venv" / "link").symlink_to("bin/tool")
    listing = store_copies(repository, ["venv", "big"], (), copies_store(repository / ".git"), HashMemo())
    cargo = await _send(_sender(repository, listing), tmp_path, cache)

    store = copies_store(cache.git_directory)
    unpack_copies(Repository(cache.git_directory), cargo, store, tmp_path / "far" / "unpacking")
    here, there = tmp_path / "here", tmp_path / "there"
    for worktree, its in ((here, copies_store(repository / ".git")), (there, store)):
        worktree.mkdir()
        place_copies(listing, its, worktree)

    assert _shape(there) == _shape(here)
    assert (there / "venv" / "data.bin").read_bytes() == b"\x00\r\n"


def _shape(directory: Path) -> dict[str, object]:
    found = dict[str, object]()
    for path in directory.rglob("*"):
        mode = path.lstat().st_mode
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None  # noqa: PTH115
        found[str(path.relative_to(directory))] = (stat.filemode(mode), content)
    return found


@pytest.mark.parametrize("document", [b"", b"[]", b"{]", b'{"../out": "x"}', b'{"a/.git/b": "x"}', b'{"/a": "x"}'])
def test_what_is_no_cargo_lays_nothing(repository: Path, document: bytes) -> None:
    """A submodule's path never leads out of the repository it belongs to."""
    here = Repository(repository / ".git")
    tree = here.edit_tree(EMPTY_TREE, {"modules": TreeFile(rev=here.write_blob(document), mode=REGULAR)})
    commit = here.write_commit(tree, [], "cargo", IDENTITY)

    with pytest.raises(GitFailed):
        modules_of(here, commit)


def _fetched(cache: HubCache, number: int) -> str:
    """Have a submission in the cache that is older the smaller its number; gives its ref."""
    ref = f"refs/expd/entries/store/request{number:02}"
    rev = git(cache.git_directory, "commit-tree", "-m", str(number), EMPTY_TREE)
    git(cache.git_directory, "update-ref", ref, rev)
    os.utime(cache.git_directory / ref, (number, number))
    return ref


def test_a_worker_host_keeps_the_newest_submissions(cache: HubCache) -> None:
    """Older ones are let go and their objects deleted, once it is much; what was used again is new."""
    git(cache.git_directory, "write-tree")
    refs = [_fetched(cache, number) for number in range(1, SUBMISSIONS_MAX + 3)]
    first = Rev(git(cache.git_directory, "rev-parse", refs[0]))
    gone = Rev(git(cache.git_directory, "rev-parse", refs[1]))
    assert cache.held(held_as_of(refs[0]), first, None) == first

    assert cache.shed(growth_bytes=0)

    left = git(cache.git_directory, "for-each-ref", "--format=%(refname)").splitlines()
    assert {held_as_of(ref) for ref in left} == {held_as_of(ref) for ref in (refs[0], *refs[3:])}
    fresh = Repository(cache.git_directory)
    assert fresh.has_object(first)
    assert not fresh.has_object(gone)
    assert cache.shed(growth_bytes=0)


def test_nothing_is_let_go_while_something_runs(cache: HubCache) -> None:
    """Whoever uses the cache keeps it whole."""
    for number in range(SUBMISSIONS_MAX + 3):
        _fetched(cache, number)
    lock = cache.share()

    assert not cache.shed(growth_bytes=0)
    os.close(lock)
    assert cache.shed(growth_bytes=0)
