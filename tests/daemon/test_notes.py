"""Notes on commits are Git's own: git reads what we write, we read and keep what git wrote, and nobody's is lost."""

import os
import subprocess
import threading
from pathlib import Path

import pytest
import trio

from expd.collect.annotating import Annotator, context_in_note, note_text
from expd.gitio.errors import GitFailed
from expd.gitio.notes import NOTES_REF, read_note, write_notes
from expd.gitio.repository import Repository
from expproto.vocabulary import Rev
from helpers.repositories import GIT_ENVIRONMENT, a_repository, git

BYTES_MAX = 1000


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a repository with one commit."""
    return a_repository(tmp_path / "project", {"file": "0\n"})


def commits_of(project: Path, count: int) -> list[Rev]:
    """Make commits that are alike but for their messages."""
    tree = git(project, "rev-parse", "HEAD^{tree}")
    return [Rev(git(project, "commit-tree", tree, "-m", f"commit {number}")) for number in range(count)]


def write(project: Path, notes: dict[Rev, bytes]) -> None:
    """Write notes as the daemon does."""
    write_notes(Repository(project / ".git"), notes, 1.0)


def read(project: Path, commit: Rev) -> bytes | None:
    """Read a note."""
    return read_note(Repository(project / ".git"), commit, BYTES_MAX)


def shown(project: Path, commit: Rev) -> str:
    """Read a note with git."""
    return git(project, "notes", "--ref=expd", "show", commit)


def test_git_shows_our_notes(project: Path) -> None:
    """Each commit has its note, in `git notes` and in `git log --notes`, and the earlier ones stay."""
    first, second = commits_of(project, 2)
    write(project, {first: b"one\n"})
    write(project, {second: b"two\n"})

    assert (shown(project, first), shown(project, second)) == ("one", "two")
    assert "one" in git(project, "log", "-1", "--notes=expd", first)
    assert git(project, "rev-list", "--count", NOTES_REF) == "2"
    git(project, "fsck", "--strict")


def test_a_note_is_replaced_and_what_is_equal_moves_nothing(project: Path) -> None:
    """The newest note of a commit counts; the same again makes no commit."""
    (commit,) = commits_of(project, 1)
    write(project, {commit: b"one\n"})
    write(project, {commit: b"two\n"})
    before = git(project, "rev-parse", NOTES_REF)
    write(project, {commit: b"two\n"})

    assert (read(project, commit), git(project, "rev-parse", NOTES_REF)) == (b"two\n", before)
    assert git(project, "notes", "--ref=expd", "list").split()[1:] == [commit]


def test_notes_that_git_laid_out_are_read_and_kept(project: Path) -> None:
    """git lays a few notes flat: they are read, replaced where they lie, and git reads the mixture."""
    ours, theirs, both = commits_of(project, 3)
    git(project, "notes", "--ref=expd", "add", "-m", "theirs", theirs)
    git(project, "notes", "--ref=expd", "add", "-m", "old", both)

    write(project, {ours: b"ours\n", both: b"new\n"})

    assert [read(project, commit) for commit in (ours, theirs, both)] == [b"ours\n", b"theirs\n", b"new\n"]
    assert [shown(project, commit) for commit in (ours, theirs, both)] == ["ours", "theirs", "new"]


def test_notes_that_git_laid_out_for_many_are_all_read(project: Path) -> None:
    """What git rewrote in the layout it chooses for many is found as well."""
    lines = [f"commit refs/heads/many\ncommitter a <a@b> {n} +0000\ndata 1\nx\n" for n in range(500)]
    environment = {**os.environ, **GIT_ENVIRONMENT}
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=project, input="".join(lines).encode(), env=environment, check=True
    )
    commits = [Rev(commit) for commit in git(project, "rev-list", "many").split()]
    write(project, {commit: commit.encode() for commit in commits})
    git(project, "notes", "--ref=expd", "add", "-f", "-m", "last", commits[0])  # git lays all of them anew
    write(project, {commits[1]: b"ours"})

    assert [read(project, commit) for commit in commits[2:]] == [commit.encode() for commit in commits[2:]]
    assert [read(project, commit) for commit in commits[:2]] == [b"last\n", b"ours"]
    assert len(git(project, "notes", "--ref=expd", "list").splitlines()) == 500


def test_no_note_is_none(project: Path) -> None:
    """Without the ref, without a note, and with one larger than anything of ours, there is nothing to read."""
    first, second = commits_of(project, 2)
    without_ref = read(project, first)
    write(project, {first: b"x" * (BYTES_MAX + 1)})

    assert (without_ref, read(project, second), read(project, first)) == (None, None, None)


async def test_notes_that_others_write_meanwhile_are_not_lost(project: Path) -> None:
    """Beside a git that adds notes all the time, all of its are there. (It does not look before it sets the ref itself.)"""
    commits = commits_of(project, 20)
    ours, theirs = commits[:10], commits[10:]
    annotator = Annotator(trio.CapacityLimiter(1), pace_seconds=0)

    def add_theirs() -> None:
        for commit in theirs:
            command = ["git", "notes", "--ref=expd", "add", "-f", "-m", "theirs", commit]
            while subprocess.run(command, cwd=project, env=environment, capture_output=True, check=False).returncode:
                pass  # git gives up at once where the ref is locked, or has moved

    environment = {**os.environ, **GIT_ENVIRONMENT}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, add_theirs)
        for commit in ours:
            await annotator.annotate(project / ".git", {commit: {"version": 1}})

    assert [read(project, commit) for commit in theirs] == [b"theirs\n"] * 10


async def test_notes_of_several_writers_are_all_there(project: Path) -> None:
    """The ref is set by compare-and-swap: of two writers that know nothing of each other neither loses a note."""
    commits = commits_of(project, 20)

    async def annotate_all(mine: list[Rev]) -> None:
        annotator = Annotator(trio.CapacityLimiter(1), pace_seconds=0)
        for commit in mine:
            await annotator.annotate(project / ".git", {commit: {"version": 1}})

    async with trio.open_nursery() as nursery:
        nursery.start_soon(annotate_all, commits[:10])
        nursery.start_soon(annotate_all, commits[10:])

    assert [read(project, commit) for commit in commits] == [b'{\n"version": 1\n}\n'] * 20


async def test_notes_of_many_results_are_written_together(project: Path) -> None:
    """Results that end at once share commits of notes, and each has its note."""
    commits = commits_of(project, 20)
    annotator = Annotator(trio.CapacityLimiter(4))

    async with trio.open_nursery() as nursery:
        for number, commit in enumerate(commits):
            nursery.start_soon(annotator.annotate, project / ".git", {commit: {"version": 1, "number": number}})

    repository = Repository(project / ".git")
    assert [context_in_note(repository, commit) for commit in commits] == [
        {"version": 1, "number": number} for number in range(20)
    ]
    assert int(git(project, "rev-list", "--count", NOTES_REF)) < 20


async def test_notes_that_follow_soon_are_gathered(project: Path) -> None:
    """After one commit of notes those of the next moment wait for each other, and go as one."""
    first, *others = commits_of(project, 11)
    annotator = Annotator(trio.CapacityLimiter(1), pace_seconds=0.3)
    was_pacing = annotator.is_pacing(project / ".git")
    await annotator.annotate(project / ".git", {first: {"version": 1}})

    async with trio.open_nursery() as nursery:
        assert annotator.is_pacing(project / ".git")
        for commit in others:
            nursery.start_soon(annotator.annotate, project / ".git", {commit: {"version": 1}})

    assert not was_pacing
    assert all(read(project, commit) for commit in (first, *others))
    assert int(git(project, "rev-list", "--count", NOTES_REF)) == 2


@pytest.mark.parametrize("heals", ["when it looks again", "with the next note"])
@pytest.mark.usefixtures("autojump_clock")
async def test_notes_that_a_collection_takes_are_written_again(project: Path, heals: str) -> None:
    """A `git prune` that had looked at the refs before the notes had theirs takes them: the ref names nothing, for a moment."""
    first, second = commits_of(project, 2)
    annotator = Annotator(trio.CapacityLimiter(1))
    before = set(git(project, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split())
    await annotator.annotate(project / ".git", {first: {"version": 1}})
    for name in set(git(project, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()) - before:
        (project / ".git" / "objects" / name[:2] / name[2:]).unlink()

    if heals == "with the next note":
        await annotator.annotate(project / ".git", {second: {"version": 1}})
    else:
        await annotator.look_again(project / ".git")

    assert read(project, first) == b'{\n"version": 1\n}\n'
    git(project, "fsck", "--connectivity-only")


@pytest.mark.parametrize("lost", ["", "^{tree}"])
def test_notes_that_nobody_can_restore_are_left_out(project: Path, lost: str) -> None:
    """Where the newest commit of notes lost an object for good, the one before it goes on with what is written next."""
    first, second, third = commits_of(project, 3)
    write(project, {first: b"one\n"})
    write(project, {second: b"two\n"})
    rev = git(project, "rev-parse", f"{NOTES_REF}{lost}")
    (project / ".git" / "objects" / rev[:2] / rev[2:]).unlink()

    write(project, {third: b"three\n"})

    assert (read(project, first), read(project, third)) == (b"one\n", b"three\n")


def test_notes_whose_every_commit_is_gone_begin_anew(project: Path) -> None:
    """Without any commit of notes that is whole, what is written next is the first."""
    first, second = commits_of(project, 2)
    write(project, {first: b"one\n"})
    rev = git(project, "rev-parse", NOTES_REF)
    (project / ".git" / "objects" / rev[:2] / rev[2:]).unlink()

    write(project, {second: b"two\n"})

    assert (read(project, first), read(project, second)) == (None, b"two\n")


async def test_a_locked_ref_is_waited_for(project: Path) -> None:
    """A lock that somebody holds delays the note, and loses none."""
    (commit,) = commits_of(project, 1)
    lock = project / ".git" / "refs" / "notes" / "expd.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    timer = threading.Timer(0.1, lock.unlink)
    timer.start()

    is_written = await Annotator(trio.CapacityLimiter(1)).annotate(project / ".git", {commit: {"version": 1}})

    timer.join()
    assert is_written
    assert read(project, commit) == b'{\n"version": 1\n}\n'


async def test_a_repository_that_is_gone_is_given_up(tmp_path: Path) -> None:
    """There is nothing to note on: the caller is told, and nothing waits for ever."""
    annotator = Annotator(trio.CapacityLimiter(1))

    assert not await annotator.annotate(tmp_path / "gone", {Rev("a" * 40): {"version": 1}})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"a remark of a person\n",
        b"[1]",
        b"{}",
        b'{"version": "1"}',
        b"\xff\xfe",
        b'{"version": 1, "n": ' + b"[" * 15 + b"]" * 15 + b"}",
        b'{"version": 1, "n": ' + b"[" * 100_000,
        b'{"version": 1, "n": 99999999999999999999}',
        b'{"version": 1, "n": "\\ud800"}',
    ],
)
def test_a_note_that_makes_no_sense_is_none(project: Path, text: bytes) -> None:
    """Notes come from elsewhere too: what the wire could not carry, or is no context, is passed over."""
    (commit,) = commits_of(project, 1)
    write(project, {commit: text})

    assert context_in_note(Repository(project / ".git"), commit) is None


def test_a_repository_that_cannot_be_read_is_an_error(project: Path) -> None:
    """Writing into a repository whose notes are damaged says so."""
    (commit,) = commits_of(project, 1)
    git(project, "update-ref", NOTES_REF, git(project, "hash-object", "-w", "file"))

    with pytest.raises(GitFailed):
        write(project, {commit: b"x"})


def test_a_note_is_ascii() -> None:
    """No byte of a note steers the terminal on which git shows it."""
    assert note_text({"name": "\x1b[31mé\udc80"}) == b'{\n"name": "\\u001b[31m\\u00e9\\udc80"\n}\n'
