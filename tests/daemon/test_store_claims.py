"""What the pool and its workers ask of the store, in as few steps as that takes."""

from dataclasses import replace

import pytest

from daemon.queues import Queue, a_claim, run_of
from expd.queueing.transitions import RoomUnknown
from expd.queueing.writing import RunGone, WrongState
from expproto.vocabulary import EntryId, Failed

FAILED = Failed(stage="train", exit_code=3)


async def test_a_claim_takes_nothing_where_nobody_has_looked_for_room(queue: Queue) -> None:
    """What is next in turn stays queued if its disks are not among those that have room; it is not passed over."""
    await queue.submit("x", git_directory="/other/.git")
    await queue.submit("y")
    roomy = frozenset({("/r/.git", "/r/.dvc/cache")})

    with pytest.raises(RoomUnknown):
        await queue.claim(replace(a_claim("t"), roomy=roomy))
    claimed = await queue.claim(replace(a_claim("t"), roomy=roomy | {("/other/.git", "/r/.dvc/cache")}))

    assert claimed is not None
    assert claimed.name == "x"


@pytest.mark.parametrize("step", ["start", "collect"])
async def test_what_is_said_under_another_token_changes_nothing(queue: Queue, step: str) -> None:
    """The token fences the attempt: a word of a worker that was given up is refused in the transaction that would write it."""
    await queue.submit("x")
    entry = await queue.take()
    assert entry.run is not None

    with pytest.raises(WrongState):
        await getattr(queue, step)(entry.run.id, 6.0, "another")

    assert await queue.entry(EntryId(1)) == entry
    await getattr(queue, step)(entry.run.id, 6.0, entry.run.token)
    assert await queue.entry(EntryId(1)) != entry


async def test_a_word_of_a_run_that_was_removed_is_refused(queue: Queue) -> None:
    """Its entry is gone, and the refusal says so."""
    await queue.submit("x")
    ended = await queue.run(FAILED)
    await queue.remove([ended.id])

    with pytest.raises(RunGone):
        await queue.start(run_of(ended), 99.0, "token")


async def test_the_pool_is_read_again_when_something_has_changed(queue: Queue) -> None:
    """Asked twice in a moment it is read once, but a change, a time that has come or the end of the moment is seen."""
    await queue.submit("x")
    pool = await queue.wake(10.0)
    again = await queue.wake(10.1)
    await queue.database.run(lambda cursor: cursor.execute("UPDATE groups SET jobs = 7"))  # and nobody is told
    later = await queue.wake(11.0)
    await queue.take()
    taken = await queue.wake(11.0)

    assert again is pool
    assert (pool.queued, later.jobs, taken.queued) == (1, 7, 0)
