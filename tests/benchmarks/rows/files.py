"""Repositories of ten and of a hundred thousand files: what the daemon does to capture one, and a worker to have it again.

Both in a process that is up, as they are in the daemon and in a worker; Git's commands are whole processes, of 2 ms.
"""

import sys
from functools import partial
from pathlib import Path

from benchmarks.arena import Arena
from benchmarks.checks import check_count
from benchmarks.row import Row, faster, within

_WARM = Path(__file__).parents[1] / "warm.py"
_A_DIRECTORY = 100


def _make(arena: Arena, count: int) -> Path:
    """Make the peer's project hold so many files, committed; both sides look at the same."""
    data = arena.peer / "files"
    if not data.exists():
        for number in range(arena.scaled(count)):
            file = data / f"{number // _A_DIRECTORY:04d}" / f"{number}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{number}\n", encoding="utf-8")
        arena.run(["git", "add", "--all"], arena.peer)
        arena.run(["git", "commit", "--quiet", "--message=files"], arena.peer)
        arena.run(["sleep", "1"], arena.peer)  # a file as new as the index is read again by everybody
        arena.run(["git", "status", "--short"], arena.peer)
    return data


def _edit(arena: Arena, count: int, edited: int, number: int) -> None:
    data = _make(arena, count)
    for file in range(edited):
        (data / "0000" / f"{file}.txt").write_text(f"edited in round {number}\n", encoding="utf-8")


def _capture(count: int, edited: int, arena: Arena, number: int) -> float:
    _edit(arena, count, edited, number)
    return arena.time([sys.executable, str(_WARM), "capture", str(arena.peer)], arena.peer)


def _git_status(count: int, edited: int, arena: Arena, number: int) -> float:
    _edit(arena, count, edited, number)
    seconds = arena.run(["git", "status", "--short"], arena.peer)
    said = (arena.directory / "output").read_text(encoding="utf-8").splitlines()
    check_count("files that git status names", len(said), edited)
    return seconds


def _capture_row(count: int, edited: int) -> Row:
    what = "with one file edited" if edited else "clean"
    return Row(
        name=f"capture-{count}-{'edited' if edited else 'clean'}",
        title=f"capture a repository of {count} files, {what}, against git status",
        rounds=5,
        ours=partial(_capture, count, edited),
        others={"git status": partial(_git_status, count, edited)},
        budgets=[within("git status", 1)],
    )


CAPTURE = tuple(_capture_row(count, edited) for count in (10_000, 100_000) for edited in (0, 1))


def _check_out(count: int, arena: Arena, _number: int) -> float:
    """Check a second commit out over the first, where one file differs; the program looks that it is there."""
    _make(arena, count)
    return arena.time([sys.executable, str(_WARM), "reuse", str(arena.peer)], arena.peer)


def _add(count: int, arena: Arena, number: int) -> float:
    _make(arena, count)
    place = arena.directory / f"added{number}"
    seconds = arena.run(["git", "worktree", "add", "--quiet", "--detach", str(place)], arena.peer)
    check_count("files of the worktree", sum(1 for _ in (place / "files").glob("*/*")), arena.scaled(count))
    arena.run(["git", "worktree", "remove", "--force", str(place)], arena.peer)
    return seconds


def _look(count: int, arena: Arena, _number: int) -> float:
    _make(arena, count)
    return arena.time([sys.executable, str(_WARM), "look", str(arena.peer / "files")], arena.peer)


def _reuse_row(count: int) -> Row:
    return Row(
        name=f"reuse-{count}",
        title=f"a worktree of {count} files used again, one parameter changed",
        rounds=3,
        ours=partial(_check_out, count),
        others={"git worktree add": partial(_add, count), "one lstat a file": partial(_look, count)},
        budgets=[faster("git worktree add", 20), within("one lstat a file", 2)],
    )


REUSE = tuple(_reuse_row(count) for count in (10_000, 100_000))
