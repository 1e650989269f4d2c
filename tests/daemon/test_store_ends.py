"""How entries end: cancelled in every state, and when the environment they were submitted with is forgotten."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from daemon.queues import RESULT, SECRET, Queue, a_claim, run_of
from expproto.vocabulary import (
    Cancelled,
    EntryId,
    EntryState,
    Failed,
    Lost,
    Succeeded,
)


async def test_cancelling_ends_what_waits_at_once(queue: Queue) -> None:
    """A queued entry has no run that could object."""
    await queue.submit("x")

    (entry,) = await queue.cancel([EntryId(1)], "typo", 4.0)

    assert (entry.state, entry.outcome, entry.ended_at) == (EntryState.DONE, Cancelled(reason="typo", at=4.0), 4.0)
    assert await queue.claim(a_claim("t")) is None


async def test_cancelling_ends_what_is_held(queue: Queue) -> None:
    """A held entry ends like a queued one."""
    await queue.submit("x")
    await queue.database.run(lambda cursor: cursor.execute("UPDATE entries SET state = 'held'"))

    (entry,) = await queue.cancel([EntryId(1)], "typo", 4.0)

    assert entry.outcome == Cancelled(reason="typo", at=4.0)


@pytest.mark.parametrize("states", [0, 1, 2], ids=["preparing", "running", "collecting"])
async def test_cancelling_an_active_entry_notes_the_wish(queue: Queue, states: int) -> None:
    """Its state stays the truth until its worker reports; the first reason is the one that counts."""
    await queue.submit("x")
    before = await queue.take()
    for pass_on in (queue.start, queue.collect)[:states]:
        before = await pass_on(run_of(before), 6.0)

    await queue.cancel([EntryId(1)], "first", 7.0)
    (entry,) = await queue.cancel([EntryId(1)], "second", 8.0)

    assert entry.run is not None
    assert (entry.state, entry.run.cancel_reason, entry.run.cancel_at) == (before.state, "first", 7.0)


async def test_cancelling_what_is_done_changes_nothing(queue: Queue) -> None:
    """An outcome is final."""
    await queue.submit("x")
    done = await queue.run(Succeeded(rev=RESULT))

    assert await queue.cancel([EntryId(1)], "late", 10.0) == [done]


async def test_cancelling_many_is_one_transaction(queue: Queue) -> None:
    """One entry that is not there undoes the cancelling of the others: a list is cancelled whole or not at all."""
    await queue.submit("x")

    with pytest.raises(AssertionError):
        await queue.cancel([EntryId(1), EntryId(99)], "all", 4.0)

    entry = await queue.entry(EntryId(1))
    assert entry is not None
    assert entry.state is EntryState.QUEUED


async def test_the_environment_is_wiped_after_the_last_success(queue: Queue, tmp_path: Path) -> None:
    """While any entry of a submission may still need it, it is kept; then not a byte of it is in the file."""
    (first, _second) = await queue.submit("x", "y")
    await queue.run(Succeeded(rev=RESULT))
    kept = await queue.has_environment(first)

    await queue.run(Succeeded(rev=RESULT))

    assert (kept, await queue.has_environment(first)) == (True, False)
    queue.database.close()
    assert SECRET not in (tmp_path / "queue.db").read_bytes()


OTHER_ENDS: dict[str, Callable[[Queue], Awaitable[object]]] = {
    "failed": lambda queue: queue.run(Failed(stage="train", exit_code=1)),
    "lost": lambda queue: queue.run(Lost(reason="gone")),
    "cancelled": lambda queue: queue.cancel([EntryId(2)], "enough", 4.0),
}


@pytest.mark.parametrize("end", OTHER_ENDS.values(), ids=OTHER_ENDS)
async def test_the_environment_of_an_unsuccessful_entry_is_kept(
    queue: Queue, end: Callable[[Queue], Awaitable[object]]
) -> None:
    """What did not succeed may be run again, in the surroundings it was submitted from."""
    (first, _second) = await queue.submit("x", "y")
    await queue.run(Succeeded(rev=RESULT))

    await end(queue)

    assert await queue.has_environment(first)
