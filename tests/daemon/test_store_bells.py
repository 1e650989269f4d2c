"""Bells of the store: who is rung for, when, and for what nobody is."""

import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from daemon.queues import Queue, run_of
from expd.queueing.writing import NameTaken
from expproto.vocabulary import EntryId, Failed

FAILED = Failed(stage="train", exit_code=3)


Change = Callable[[Queue], Awaitable[object]]
CHANGES: dict[str, tuple[Change, bool]] = {
    "claimed": (lambda queue: queue.take(), True),
    "cancelled": (lambda queue: queue.cancel([EntryId(1)], "why", 2.0), True),
    "renamed": (lambda queue: queue.rename(EntryId(1), "other"), True),
    "run to its end": (lambda queue: queue.run(FAILED), True),
    "another submitted": (lambda queue: queue.submit("y"), False),
    "pool resized": (lambda queue: queue.set_jobs(3), False),
    "pool paused": (lambda queue: queue.pause(None, freezes=False, at=0.0), False),
}


async def test_a_run_on_its_way_calls_nobody_to_start_more(queue: Queue) -> None:
    """Its claim, its start and its collecting make no slot free; its end does, and that is rung for."""
    await queue.submit("x")
    before = queue.changes.turn.next_ring

    run = run_of(await queue.take())
    await queue.start(run, 2.0)
    await queue.collect(run, 3.0)
    is_called = before.is_set()
    await queue.finish(run, FAILED, 4.0)

    assert not is_called
    assert before.is_set()


@pytest.mark.parametrize(("change", "concerns_the_entry"), CHANGES.values(), ids=CHANGES)
async def test_bells_ring_after_the_commit(
    queue: Queue, tmp_path: Path, change: Change, concerns_the_entry: bool
) -> None:
    """Who listens to an entry hears what concerns it, who listens to any hears all; it is on the disk by then."""
    await queue.submit("x")
    bell = queue.changes.of(EntryId(1))
    own, any_ring = bell.next_ring, queue.changes.any.next_ring
    before = _seen_from_outside(tmp_path)
    seen = list[str]()

    async def look() -> None:
        await any_ring.wait()
        seen.append(_seen_from_outside(tmp_path))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await trio.testing.wait_all_tasks_blocked()
        await change(queue)

    assert own.is_set() == concerns_the_entry
    assert before not in seen
    assert len(seen) == 1


def _seen_from_outside(directory: Path) -> str:
    """Read what is committed, by a connection that has no part in it."""
    reader = sqlite3.connect(f"{(directory / 'queue.db').as_uri()}?mode=ro", uri=True)
    try:
        tables = ("submissions", "entries", "runs", "pool", "groups")
        return json.dumps([reader.execute(f"SELECT * FROM {table}").fetchall() for table in tables])
    finally:
        reader.close()


async def test_a_refused_change_rings_no_bell(queue: Queue) -> None:
    """Nothing has changed, so nobody is woken."""
    await queue.submit("x")
    bell = queue.changes.of(EntryId(1))
    own, any_ring = bell.next_ring, queue.changes.any.next_ring

    with pytest.raises(NameTaken):
        await queue.submit("x")

    assert (own.is_set(), any_ring.is_set()) == (False, False)
