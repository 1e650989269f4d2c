"""A sweep that fails too often: which ends count, and that what waits is ended with the one that was too many."""

from collections.abc import Mapping

import pytest

from daemon.queues import Queue, ids, run_of
from expd.queueing.failures import reason_to_stop
from expproto.retries import RetryPolicy
from expproto.vocabulary import Cancelled, EntryState, Failed, Lost, Succeeded


@pytest.mark.parametrize(
    ("limit", "ended", "stops"),
    [
        (None, {"failed": 100}, False),
        (2, {}, False),
        (2, {"failed": 1}, False),
        (2, {"failed": 2}, True),
        (2, {"failed": 1, "timed_out": 1}, True),
        (2, {"killed": 1, "out_of_memory": 1}, True),
        (1, {"not_started": 1}, True),
        (1, {"refused": 1}, True),
        (1, {"succeeded": 5, "cancelled": 5, "lost": 5}, False),
    ],
)
def test_failures_of_their_own_are_counted(limit: int | None, ended: Mapping[str, int], stops: bool) -> None:
    """What was cancelled, or lost with its machine, says nothing against the points that wait."""
    assert (reason_to_stop(limit, ended) is not None) == stops


FAILED = Failed(stage="train", exit_code=1)


async def test_what_waits_is_ended_with_the_one_that_was_too_many(queue: Queue) -> None:
    """At the second failure the waiting points are cancelled, with the reason; what runs, and other sweeps, go on."""
    sweep = await queue.submit("a", "b", "c", "d", "e", max_failures=2)
    (other,) = await queue.submit("other")
    running = await queue.take()
    await queue.run(FAILED)
    before = [entry.state for entry in await queue.of_submission(sweep[0].submission_id)]
    bell = queue.changes.of(sweep[4].id)
    rung = bell.next_ring

    await queue.run(FAILED)

    after = await queue.of_submission(sweep[0].submission_id)
    reason = "cancelled: 2 of its sweep failed (--max-failures 2)"
    assert before.count(EntryState.QUEUED) == 3
    assert [entry.outcome for entry in after] == [None, FAILED, FAILED, *[Cancelled(reason=reason, at=9.0)] * 2]
    assert (after[0].id, after[0].state) == (running.id, EntryState.PREPARING)
    assert rung.is_set()
    assert ids([await queue.take()]) == [other.id]


async def test_held_points_are_ended_too(queue: Queue) -> None:
    """A point that is held waits as well."""
    sweep = await queue.submit("a", "b", max_failures=1, on_hold=True)
    await queue.release([sweep[0].id], 2.0)

    await queue.run(FAILED)

    held = await queue.entry(sweep[1].id)
    assert held is not None
    assert isinstance(held.outcome, Cancelled)


async def test_a_sweep_without_a_limit_goes_on(queue: Queue) -> None:
    """One failure disturbs nobody unless that was asked for, and a lost run never does."""
    await queue.submit("a", "b", "c")
    limited = await queue.submit("x", "y", max_failures=1, retries=RetryPolicy(causes=()))
    for _point in range(3):
        await queue.run(FAILED)

    await queue.run(Lost(reason="gone"))
    last = await queue.take()
    await queue.finish(run_of(last), Succeeded(rev=last.stash_rev), 10.0)

    assert last.id == limited[1].id
