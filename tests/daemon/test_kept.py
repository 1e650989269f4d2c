"""What a run left, kept aside: found again, gone on in, told apart from what somebody has changed, and never too much of it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemon.worktrees import a_file, check_out
from expd.execute.begun import BegunStages, begun_path
from expd.execute.kept import (
    changes_since,
    keep_aside,
    kept_place,
    remove_kept,
    remove_place,
    resumable_run,
    set_apart,
    take_up,
)
from expd.execute.manifest import load_manifest, manifest_path
from expd.execute.worktree import tracked_changes
from expproto.vocabulary import RunId
from helpers.waiting import eventually

TREE = {name: a_file(f"{name}\n") for name in ("one", "sub/two")}
FIRST, SECOND = RunId(1), RunId(2)


@pytest.fixture
def slot(tmp_path: Path) -> Path:
    """Give a slot with two files checked out, one of them changed, and one made beside them."""
    slot = tmp_path / "expd" / "worktrees" / "0"
    check_out(slot, TREE)
    (slot / "one").write_text("changed by the run\n")
    (slot / "sub" / "made").write_text("made\n")
    BegunStages(begun_path(slot)).begin("train")
    return slot


def test_what_is_taken_up_is_as_the_run_left_it(tmp_path: Path, slot: Path) -> None:
    """Its files, what was checked out of them, and which stages were begun, in another slot as well."""
    other = slot.with_name("1")
    check_out(other, TREE)
    keep_aside(slot, FIRST, kept_max=5)

    taken = take_up(tmp_path, FIRST, other)

    stages = BegunStages(begun_path(other))
    stages.load()
    assert taken
    assert sorted(str(path.relative_to(other)) for path in other.rglob("*") if path.is_file()) == [
        "one",
        "sub/made",
        "sub/two",
    ]
    assert "one" in tracked_changes(other, load_manifest(other)).touched
    assert stages.is_left("train")
    assert (slot.exists(), kept_place(tmp_path, FIRST)) == (False, None)


def test_the_oldest_go_and_what_is_set_apart_stays(tmp_path: Path, slot: Path) -> None:
    """Of three runs with room for one, the newest is there, and the one somebody wants to go on with."""
    keep_aside(slot, FIRST, kept_max=1)
    set_apart(tmp_path, FIRST)
    set_apart(tmp_path, FIRST)  # asked again
    for run in (SECOND, RunId(3)):
        check_out(slot, TREE)
        keep_aside(slot, run, kept_max=1)

    there = [run for run in (FIRST, SECOND, RunId(3)) if kept_place(tmp_path, run)]
    for run in there:
        remove_kept(tmp_path, run)

    assert there == [1, 3]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def _let_the_clock_tick(directory: Path) -> None:
    """Wait until files get another time: the kernel's clock stands still for some milliseconds."""
    probe = directory / "probe"
    probe.touch()
    first = probe.stat().st_ctime_ns

    def ticked() -> bool:
        probe.touch()
        return probe.stat().st_ctime_ns > first

    eventually(ticked, "the clock ticks")


CHANGES: dict[str, Callable[[Path], object]] = {
    "sub/two": lambda place: (place / "sub" / "two").write_text("edited\n"),
    "sub/": lambda place: (place / "sub" / "made").unlink(),
    "new": lambda place: (place / "new").touch(),
    "one": lambda place: (place / "one").chmod(0o700),
    "./": lambda place: (place / "one").unlink(),
}


@pytest.mark.parametrize("path", list(CHANGES))
def test_a_change_since_is_named(tmp_path: Path, slot: Path, path: str) -> None:
    """An edit, a new file, another mode, a file removed: each is seen, and named."""
    keep_aside(slot, FIRST, kept_max=5)
    place = kept_place(tmp_path, FIRST)
    assert place is not None
    untouched = changes_since(place)
    _let_the_clock_tick(tmp_path)

    CHANGES[path](place)

    assert untouched == []
    assert path in changes_since(place)


def test_looking_changes_nothing(tmp_path: Path, slot: Path) -> None:
    """Whoever reads what was kept, or asks Git about it, has not changed it."""
    keep_aside(slot, FIRST, kept_max=5)
    place = kept_place(tmp_path, FIRST)
    assert place is not None
    (place / ".git").mkdir()
    manifest_path(place).touch()
    _let_the_clock_tick(tmp_path)

    text = (place / "one").read_text()
    (place / ".git" / "index").write_bytes(b"")

    assert (text, changes_since(place)) == ("changed by the run\n", [])


@pytest.mark.parametrize(
    ("kept", "apart", "found"),
    [
        ([1, 2], [], 2),
        ([1], [], None),
        ([], [], None),
        ([], [1], 1),
        ([2], [1], 2),
    ],
    ids=["the newest", "an older one alone", "nothing", "set apart before", "the newest before what was set apart"],
)
def test_the_run_to_go_on_from_is_the_last_one(
    tmp_path: Path, slot: Path, kept: list[int], apart: list[int], found: int | None
) -> None:
    """An older attempt is no answer to where the last one ended, unless that was to go on from it and never did."""
    for number in (*kept, *apart):
        check_out(slot, TREE)
        keep_aside(slot, RunId(number), kept_max=9)
    for number in apart:
        set_apart(tmp_path, RunId(number))

    assert resumable_run(tmp_path, [FIRST, SECOND]) == found


def test_a_worktree_that_never_stood_is_nothing_to_go_on_with(tmp_path: Path, slot: Path) -> None:
    """A run that died while its files were being written has no manifest, and no promise about what is there."""
    slot.with_name("0.manifest").unlink()
    keep_aside(slot, FIRST, kept_max=5)

    assert resumable_run(tmp_path, [FIRST]) is None
    assert not take_up(tmp_path, FIRST, slot)


def test_a_torn_line_says_nothing(tmp_path: Path) -> None:
    """A kill in the middle of a note costs that note, and neither those before nor those after it."""
    path = tmp_path / "0.begun"
    stages = BegunStages(path)
    stages.begin("a")
    path.write_bytes(path.read_bytes() + b'["finis\n\xff'[:8])
    stages.begin("b")
    stages.finish("b")

    again = BegunStages(path)
    again.load()

    assert (again.is_left("a"), again.is_left("b"), again.finished) == (True, False, {"b"})


def test_what_two_remove_at_once_is_gone_without_complaint(tmp_path: Path) -> None:
    """Workers that end together have the same oldest worktree to remove, file by file beside each other."""
    for round_ in range(10):
        place = tmp_path / str(round_)
        for directory in range(30):
            (place / str(directory)).mkdir(parents=True)
            for file in range(5):
                (place / str(directory) / str(file)).touch()
        start = threading.Barrier(3)

        def remove(place: Path = place, start: threading.Barrier = start) -> None:
            start.wait()
            remove_place(place)

        with ThreadPoolExecutor(3) as threads:
            for removal in [threads.submit(remove) for _ in range(3)]:
                removal.result()
        assert not place.exists()
