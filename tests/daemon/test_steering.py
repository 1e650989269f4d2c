"""Steering what waits: order, slots, groups and time, by single rows; and that its cost has nothing to do with how many wait."""

import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.queues import RESULT, Queue, a_claim, a_new_entry, a_submission, run_of
from expd.queueing.acceptance import accept
from expd.queueing.database import Cursor, open_connection
from expd.queueing.editing import Edit, edit_entry
from expd.queueing.entry import Entry
from expd.queueing.groups import GroupInUse, NoSuchGroup, ensure_pool
from expd.queueing.schedule import starts_now
from expd.queueing.steering import hold_entry, move_before, move_to_top, run_entry_now
from expd.queueing.transitions import AT_ONCE, IN_TURN
from expd.queueing.writing import WrongState
from expproto.limits import RunLimits
from expproto.place import QueuePlace
from expproto.vocabulary import EntryId, Failed, Mode, Succeeded

T = TypeVar("T")
FAILED = Failed(stage="train", exit_code=1)


async def _order(queue: Queue) -> list[str]:
    """Give the names of what waits in the order in which it would run."""
    turns = await queue.turns()
    entries = {entry.id: entry for entry in await queue.page(0, 1000)}
    return [entries[entry].name for entry in sorted(turns, key=lambda entry: turns[entry])]


async def test_the_higher_priority_goes_first_and_among_equals_the_older(queue: Queue) -> None:
    """Claims come in that order, and so do the ranks that are shown; a retry keeps its place."""
    await queue.submit("a", "b")
    await queue.submit("high", "high-too", place=QueuePlace(priority=5))
    await queue.submit("low", place=QueuePlace(priority=-1))
    await queue.submit("c")

    shown = await _order(queue)
    claimed = [(await queue.take()).name for _entry in range(6)]

    assert shown == claimed == ["high", "high-too", "a", "b", "c", "low"]


async def test_entries_move(queue: Queue) -> None:
    """To the top, above any priority; before another one, with its priority; and to where one is already."""
    await queue.submit("a", "b", "c", "d")
    await queue.submit("high", place=QueuePlace(priority=5))

    await queue.steer([EntryId(3)], move_to_top)
    top = await _order(queue)
    await queue.steer([EntryId(4), EntryId(5)], lambda cursor, entry: move_before(cursor, entry, EntryId(2)))
    before = await _order(queue)
    await queue.steer([EntryId(3)], move_to_top)

    assert top == ["c", "high", "a", "b", "d"]
    assert before == ["c", "a", "d", "high", "b"]
    assert await _order(queue) == before


async def test_there_is_always_a_place_between_two(queue: Queue) -> None:
    """Moving before the same entry again and again never runs out of places, nor disturbs the others."""
    await queue.submit("first", "x", "y", "last")

    for number in range(150):
        mover = EntryId(2 + number % 2)
        await queue.steer([mover], lambda cursor, entry: move_before(cursor, entry, EntryId(4)))

    assert await _order(queue) == ["first", "x", "y", "last"]


@settings(max_examples=25, deadline=None)
@given(
    moves=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=12),
)
def test_any_moves_give_the_order_of_a_list(moves: list[tuple[int, int]]) -> None:
    """Whatever is moved where, the queue is the list in which the same was moved."""
    with tempfile.TemporaryDirectory() as directory, closing(open_connection(Path(directory, "queue.db"))) as cursor:
        ensure_pool(cursor, 1)
        accept(cursor, a_submission("request1"), [a_new_entry(str(number)) for number in range(1, 7)])
        expected = list(range(1, 7))
        for mover, other in moves:
            expected.remove(mover)
            if other == 0:
                move_to_top(cursor, EntryId(mover))
                expected.insert(0, mover)
            elif other == mover:
                expected = sorted([*expected, mover], key=lambda number: _rank(cursor, number))
            else:
                move_before(cursor, EntryId(mover), EntryId(other))
                expected.insert(expected.index(other), mover)

        assert sorted(range(1, 7), key=lambda number: _rank(cursor, number)) == expected


def _rank(cursor: Cursor, number: int) -> tuple[int, float]:
    row = cursor.execute("SELECT priority, place FROM entries WHERE id = ?", (number,)).fetchone()
    return -row["priority"], row["place"]


async def test_what_is_frozen_goes_on_when_nothing_of_it_is_paused(queue: Queue) -> None:
    """What runs of a group stands still with it; it goes on when neither its group nor the pool is paused, and what is cancelled is left alone."""
    await queue.add_group("gpu", 2)
    await queue.submit("a", "b")
    await queue.submit("g", place=QueuePlace(group="gpu"))
    runs = [
        await queue.claim(a_claim("t1")),
        await queue.claim(a_claim("t2")),
        await queue.claim(a_claim("t3", group="gpu")),
    ]
    first, second, third = [entry.run.id for entry in runs if entry is not None and entry.run is not None]
    await queue.cancel([EntryId(2)], "by hand", 1.0)
    of_group = await queue.pause("gpu", freezes=True, at=5.0)
    of_all = await queue.pause(None, freezes=True, at=6.0)
    again = await queue.pause(None, freezes=True, at=7.0)
    frozen = await queue.entry(EntryId(3))
    group_alone = await queue.unpause("gpu")
    everything = await queue.unpause(None)

    assert [found for _pool, found in (of_group, of_all, again)] == [[third], [first], []]
    assert [pool.frozen for pool, _found in (of_group, of_all, group_alone, everything)] == [1, 2, 2, 0]
    assert [group_alone[1], sorted(everything[1])] == [[], [first, third]]
    assert frozen is not None
    assert frozen.run is not None
    assert frozen.run.frozen_at == 5.0
    assert second not in everything[1]


async def test_another_attempt_gets_other_limits(queue: Queue) -> None:
    """What is given takes the place of what was, of this entry alone, and what is not given stays."""
    limits = RunLimits(time_seconds=5.0, stall_seconds=6.0, memory_bytes=2**30, cpus=2.0)
    await queue.submit("a", "b", limits=limits)
    failed = await queue.run(Failed(stage="train", exit_code=1))
    (retried,) = await queue.retry([failed.id], None, 9.0, Edit(memory_bytes=2**33))
    (edited,) = await queue.steer([failed.id], lambda cursor, entry: edit_entry(cursor, entry, Edit(cpus=0.0)))
    other = await queue.entry(EntryId(2))

    assert retried.submission.limits == replace(limits, memory_bytes=2**33)
    assert edited.submission.limits == replace(limits, memory_bytes=2**33, cpus=None)
    assert other is not None
    assert other.submission.limits == limits


async def test_groups_have_slots_of_their_own(queue: Queue) -> None:
    """What runs in one takes nothing of another; each starts as many as it has slots, and nothing while it is paused."""
    await queue.add_group("gpu", 2)
    await queue.submit("a", "b", "c")
    await queue.submit("g", "h", "i", place=QueuePlace(group="gpu"))
    starts = starts_now(await queue.pool(), draining=False)
    gpu = await queue.claim(a_claim("t", group="gpu"))
    await queue.pause("gpu", freezes=False, at=0.0)
    after = starts_now(await queue.pool(), draining=False)

    assert (starts.queued, dict(starts.others), list(starts.turns())) == (
        2,
        {"gpu": 2},
        ["default", "default", "gpu", "gpu"],
    )
    assert gpu is not None
    assert gpu.name == "g"
    assert (after.queued, dict(after.others)) == (2, {})
    assert [(group.name, group.running, group.queued) for group in (await queue.pool()).groups] == [
        ("default", 0, 3),
        ("gpu", 1, 2),
    ]


async def test_a_group_goes_when_nothing_needs_it(queue: Queue) -> None:
    """Not while anything of it waits, never the default one; what is done of it stays; an unknown one is named."""
    await queue.add_group("gpu", 1)
    await queue.submit("g", place=QueuePlace(group="gpu"))
    for name in ("gpu", "default"):
        with pytest.raises(GroupInUse):
            await queue.remove_group(name)
    await queue.cancel([EntryId(1)], "no", 2.0)

    await queue.remove_group("gpu")

    with pytest.raises(NoSuchGroup) as unknown:
        await queue.submit("h", place=QueuePlace(group="gpu"))
    entry = await queue.entry(EntryId(1))
    assert unknown.value.known == ["default"]
    assert entry is not None
    assert entry.place.group == "default"


async def test_what_runs_now_takes_no_slot(queue: Queue) -> None:
    """Beyond the slots, held or not yet due; its next attempt waits in the queue again."""
    await queue.submit("a", "b", "c")
    await queue.submit("later", place=QueuePlace(not_before=1e9))
    await queue.steer([EntryId(2)], lambda cursor, entry: hold_entry(cursor, entry, 2.0))
    await queue.steer([EntryId(2), EntryId(4)], lambda cursor, entry: run_entry_now(cursor, entry, 3.0))

    pool = await queue.pool()
    names = [(await queue.take()).name for _entry in range(3)]
    running = await queue.pool()
    done = await queue.finish(run_of(await _read(queue, 2)), FAILED, 9.0)
    (again,) = await queue.retry([done.id], None, 10.0)

    assert (pool.immediate, pool.queued, pool.deferred) == (2, 2, 0)
    assert names == ["b", "later", "a"]
    assert (running.running, running.active) == (1, 3)
    assert not again.is_at_once


async def _read(queue: Queue, number: int) -> Entry:
    entry = await queue.entry(EntryId(number))
    assert entry is not None
    return entry


async def test_what_waits_is_edited_and_what_does_not_is_refused(queue: Queue) -> None:
    """Priority, group and time, one or all; a time that is none lets it run at once; nothing of a run is changed."""
    await queue.add_group("gpu", 1)
    await queue.submit("a", "b")
    await queue.take()
    edit = Edit(priority=7, group="gpu", not_before=1e9)

    (edited,) = await queue.steer([EntryId(2)], lambda cursor, entry: edit_entry(cursor, entry, edit))
    (ready,) = await queue.steer([EntryId(2)], lambda cursor, entry: edit_entry(cursor, entry, Edit(not_before=0.0)))

    assert (edited.place, edited.not_before) == (QueuePlace(priority=7, group="gpu"), 1e9)
    assert (ready.place, ready.not_before) == (edited.place, None)
    changes: list[Callable[[Cursor, EntryId], Entry]] = [
        partial(_with, edit_entry, edit),
        partial(_with, hold_entry, 2.0),
        partial(_with, run_entry_now, 2.0),
        move_to_top,
        partial(_with, move_before, EntryId(2)),
    ]
    for change in changes:
        with pytest.raises(WrongState):
            await queue.steer([EntryId(1)], change)


def _with(change: Callable[[Cursor, EntryId, T], Entry], how: T, cursor: Cursor, entry: EntryId) -> Entry:
    """Change an entry in one way."""
    return change(cursor, entry, how)


async def test_tallies_are_what_a_count_would_give(queue: Queue) -> None:
    """After all that can become of entries, the triggers' counts are those of the rows."""
    await queue.add_group("gpu", 3)
    await queue.submit("a", "b", "c", "d")
    await queue.submit("g", "h", place=QueuePlace(group="gpu", not_before=50.0))
    await queue.submit("now", mode=Mode.TEMP)
    await queue.run(Succeeded(rev=RESULT))
    await queue.run(FAILED)
    await queue.take()
    await queue.steer([EntryId(3)], lambda cursor, entry: hold_entry(cursor, entry, 2.0))
    await queue.wake(60.0)
    await queue.cancel([EntryId(5)], "no", 3.0)
    await queue.retry([EntryId(1)], None, 4.0)
    await queue.remove([EntryId(5)])

    counted = (
        "SELECT engine, grp, at_once, standing, count(*) AS n FROM entries GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )
    kept = "SELECT engine, grp, at_once, standing, n FROM tallies WHERE n <> 0 ORDER BY 1, 2, 3, 4"

    def read(cursor: Cursor) -> list[list[tuple[object, ...]]]:
        return [[tuple(row) for row in cursor.execute(sql)] for sql in (counted, kept)]

    both = await queue.database.run(read)

    assert both[0] == both[1]


ASKED_OFTEN = {
    "claim at once": (AT_ONCE.format(avoid=""), ("local",), "entries_by_turn"),
    "claim in turn": (IN_TURN.format(avoid=""), ("local", "default"), "entries_by_turn"),
    "wake": (
        "UPDATE entries SET not_before = NULL WHERE state = 'queued' AND not_before <= ?",
        (1.0,),
        "entries_by_time",
    ),
    "next time": (
        "SELECT min(not_before) AS at FROM entries WHERE state = 'queued' AND not_before IS NOT NULL",
        (),
        "entries_by_time",
    ),
    "tallies": ("SELECT grp, n FROM tallies WHERE engine = ?", ("local",), "PRIMARY KEY"),
    "one entry": ("UPDATE entries SET priority = 1 WHERE id = ?", (1,), "INTEGER PRIMARY KEY"),
}


@pytest.mark.parametrize("question", list(ASKED_OFTEN))
async def test_what_is_asked_often_is_found_by_index(queue: Queue, question: str) -> None:
    """No scan and no sorting: it costs the same with ten thousand that wait."""
    sql, values, index = ASKED_OFTEN[question]

    plan = await queue.database.run(
        lambda cursor: [str(row["detail"]) for row in cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    )

    assert any(line.startswith("SEARCH") and index in line for line in plan), plan
    assert not any("SCAN" in line or "TEMP B-TREE" in line for line in plan), plan
