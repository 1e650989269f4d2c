"""What runs at once beside the queue, and where."""

from dataclasses import replace

import pytest

from daemon.queues import Queue, a_claim, run_of
from expd.queueing.schedule import PoolState
from expd.queueing.writing import WorkspaceBusy
from expproto.vocabulary import Lost, Mode


async def test_what_runs_at_once_takes_no_slot_and_goes_first(queue: Queue) -> None:
    """It is counted apart, claimed before what has waited longer, and alone where only such may start."""
    await queue.submit("waits")
    (now,) = await queue.submit("now", mode=Mode.TEMP)

    assert await queue.pool() == PoolState(jobs=2, paused=False, running=0, queued=1, immediate=1, active=0)
    assert (await queue.take()).id == now.id
    assert await queue.claim(replace(a_claim("token-x"), group=None)) is None
    assert await queue.pool() == PoolState(jobs=2, paused=False, running=0, queued=1, immediate=0, active=1)


async def test_a_workspace_is_given_to_one_run(queue: Queue) -> None:
    """Until the first has ended, a second one there is refused with its name; its place is the workspace itself."""
    await queue.submit("first", mode=Mode.WORKSPACE)
    entry = await queue.take()
    with pytest.raises(WorkspaceBusy) as refused:
        await queue.submit("second", mode=Mode.WORKSPACE)
    await queue.finish(run_of(entry), Lost(reason="gone"), 9.0)

    assert (refused.value.entry, refused.value.name) == (entry.id, "first")
    assert entry.run is not None
    assert entry.run.worktree == "/r"
    assert len(await queue.submit("third", mode=Mode.WORKSPACE)) == 1
