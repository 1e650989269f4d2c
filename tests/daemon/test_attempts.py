"""Attempts: what is done runs once more, with a run and an outcome of its own, and nothing of the earlier ones is lost."""

import pytest

from daemon.queues import RESULT, SECRET, Queue, a_claim, run_of
from expd.queueing.writing import NameTaken, WrongState
from expproto.retries import RetryPolicy
from expproto.vocabulary import Cancelled, EntryId, EntryState, Failed, Lost, Outcome, Succeeded

FAILED = Failed(stage="train", exit_code=3)
LOST = Lost(reason="its worker ended")
TWICE = RetryPolicy(retries=2, backoff_seconds=60.0)
DONE_AT = 9.0
"""When the runs of these tests end."""


async def test_another_attempt_starts_like_the_first(queue: Queue) -> None:
    """It is queued without outcome, times or run; the claim makes a run with its number."""
    (first,) = await queue.submit("x")
    await queue.run(FAILED)

    (again,) = await queue.retry([EntryId(1)], None, 10.0)
    claimed = await queue.take()

    assert (again.state, again.attempt, again.outcome, again.ended_at, again.run) == (
        EntryState.QUEUED,
        2,
        None,
        None,
        None,
    )
    assert (again.name, again.stash_rev, again.submission) == (first.name, first.stash_rev, first.submission)
    assert claimed.run is not None
    assert claimed.run.attempt == 2


async def test_attempts_keep_their_outcomes_and_logs(queue: Queue) -> None:
    """Each has a log of its own; one that was cancelled before it ran has neither run nor log."""
    await queue.submit("x")
    await queue.run(FAILED)
    await queue.retry([EntryId(1)], None, 10.0)
    await queue.cancel([EntryId(1)], "no", 11.0)
    await queue.retry([EntryId(1)], None, 12.0)
    done = await queue.run(Succeeded(rev=RESULT))

    attempts = await queue.attempts(EntryId(1))

    assert [(attempt.number, attempt.outcome) for attempt in attempts] == [(1, FAILED), (3, Succeeded(rev=RESULT))]
    assert len({attempt.log for attempt in attempts}) == 2
    assert (done.attempt, done.outcome) == (3, Succeeded(rev=RESULT))


async def test_a_report_of_an_earlier_attempt_finds_nobody(queue: Queue) -> None:
    """The run of an attempt that is over is no longer the entry's: what it says late changes nothing."""
    await queue.submit("x")
    old = run_of(await queue.run(FAILED))
    await queue.retry([EntryId(1)], None, 10.0)

    assert await queue.entry_of_run(old) is None


async def test_a_cancelled_attempt_shows_nothing_of_the_one_before(queue: Queue) -> None:
    """What was cancelled in the queue never ran, whatever an earlier attempt did."""
    await queue.submit("x")
    await queue.run(FAILED)
    await queue.retry([EntryId(1)], None, 10.0)

    (entry,) = await queue.cancel([EntryId(1)], "no", 11.0)

    assert (entry.outcome, entry.run) == (Cancelled(reason="no", at=11.0), None)


async def test_what_is_not_done_is_not_tried_again(queue: Queue) -> None:
    """One that can't be makes all of them stay as they are."""
    await queue.submit("x")
    await queue.run(FAILED)
    await queue.submit("y")

    with pytest.raises(WrongState):
        await queue.retry([EntryId(1), EntryId(2)], None, 10.0)

    entry = await queue.entry(EntryId(1))
    assert entry is not None
    assert (entry.state, entry.attempt) == (EntryState.DONE, 1)


async def test_a_name_that_a_living_entry_has_is_not_taken_from_it(queue: Queue) -> None:
    """Whoever submitted it anew keeps it."""
    await queue.submit("x")
    await queue.run(FAILED)
    await queue.submit("x")

    with pytest.raises(NameTaken):
        await queue.retry([EntryId(1)], None, 10.0)


@pytest.mark.parametrize(("outcome", "environment"), [(FAILED, SECRET), (Succeeded(rev=RESULT), b"given")])
async def test_the_environment_is_its_own_while_it_is_kept(
    queue: Queue, outcome: Failed | Succeeded, environment: bytes
) -> None:
    """Only what was wiped after a success is replaced by what comes with the retry."""
    (entry,) = await queue.submit("x")
    await queue.run(outcome)

    await queue.retry([EntryId(1)], b"given", 10.0)

    assert await queue.environment(entry.submission_id) == environment


async def test_unsuccessful_entries_are_those_nobody_submitted_anew(queue: Queue) -> None:
    """Of one repository, done without success; a newer entry of the name stands for the older one."""
    await queue.submit("bad", "anew")
    await queue.run(FAILED)
    await queue.run(FAILED)
    await queue.submit("good")
    await queue.run(Succeeded(rev=RESULT))
    await queue.submit("anew")
    await queue.submit("elsewhere", git_directory="/other/.git")
    await queue.cancel([EntryId(5)], "no", 3.0)

    assert [entry.name for entry in await queue.unsuccessful("/r/.git")] == ["bad"]
    assert await queue.claim(a_claim("t")) is not None


async def test_a_run_is_followed_by_another_in_one_transaction(queue: Queue) -> None:
    """The entry is queued again under its id and name, not before its time, and knows how the first attempt ended."""
    await queue.submit("x", retries=TWICE)

    again = await queue.run(FAILED)

    assert (again.state, again.attempt, again.outcome, again.run) == (EntryState.QUEUED, 2, None, None)
    assert (again.not_before, again.retries_left, again.earlier_outcome) == (DONE_AT + 60.0, 1, FAILED)
    assert [attempt.outcome for attempt in await queue.attempts(EntryId(1))] == [FAILED]
    assert await queue.environment(again.submission_id) == SECRET


async def test_what_waits_for_its_time_stands_in_nobodys_way(queue: Queue) -> None:
    """It is passed over by claims and not counted as ahead until then, and claimed like any other from then on."""
    await queue.submit("x", retries=TWICE)
    await queue.run(FAILED)
    await queue.submit("y", "z")

    pool, ahead = await queue.wake(DONE_AT + 59.0), await queue.ahead_of(EntryId(3))
    other = await queue.take()
    later = await queue.wake(DONE_AT + 60.0)
    first = await queue.take()

    assert (pool.queued, pool.deferred, pool.next_at, ahead) == (2, 1, DONE_AT + 60.0, 1)
    assert (later.queued, later.deferred, later.next_at) == (2, 0, None)
    assert (other.name, first.name, first.not_before) == ("y", "x", None)


async def test_retries_end(queue: Queue) -> None:
    """After two retries the entry is done with the last outcome; asking for it by hand gives it all of them again."""
    await queue.submit("x", retries=TWICE)
    for _attempt in range(2):
        await queue.run(FAILED)
        await queue.wake(1e9)
    ended = await queue.run(FAILED)

    (again,) = await queue.retry([EntryId(1)], None, 10.0)

    assert (ended.state, ended.outcome, ended.attempt, ended.retries_left) == (EntryState.DONE, FAILED, 3, 0)
    assert (again.attempt, again.retries_left, again.not_before) == (4, 2, None)


async def test_three_losses_in_a_row_hold_an_entry_with_the_reason(queue: Queue) -> None:
    """Nothing more happens until it is released, and then it may be lost three times anew."""
    await queue.submit("x")
    states = [(await queue.run(LOST)).state for _attempt in range(3)]
    held = await queue.entry(EntryId(1))
    (released,) = await queue.release([EntryId(1)], 10.0)
    again = await queue.run(LOST)

    assert states == [EntryState.QUEUED, EntryState.QUEUED, EntryState.HELD]
    assert held is not None
    assert "lost 3 times in a row" in str(held.hold_reason)
    assert (released.state, released.hold_reason, again.state, again.attempt) == (
        EntryState.QUEUED,
        None,
        EntryState.QUEUED,
        5,
    )


@pytest.mark.parametrize("outcome", [FAILED, LOST])
async def test_what_is_being_cancelled_is_not_run_again(queue: Queue, outcome: Outcome) -> None:
    """Whatever it dies of on the way: its end was wanted."""
    await queue.submit("x", retries=TWICE)
    taken = await queue.take()
    await queue.cancel([EntryId(1)], "no", 6.0)

    ended = await queue.finish(run_of(taken), outcome, DONE_AT)

    assert (ended.state, ended.outcome) == (EntryState.DONE, outcome)


async def test_a_retry_that_waits_can_be_cancelled(queue: Queue) -> None:
    """It ends at once, and nothing is left that would wake anybody."""
    await queue.submit("x", retries=TWICE)
    await queue.run(FAILED)

    (ended,) = await queue.cancel([EntryId(1)], "no", 11.0)

    assert (ended.state, ended.not_before) == (EntryState.DONE, None)
    assert (await queue.wake(11.0)).next_at is None


async def test_what_is_tried_again_does_not_stop_its_sweep(queue: Queue) -> None:
    """Only a point that has used up its retries counts as failed."""
    await queue.submit("a", "b", retries=RetryPolicy(retries=1, backoff_seconds=0.0), max_failures=1)

    states = []
    for _run in range(2):
        await queue.run(FAILED)
        waiting = await queue.entry(EntryId(2))
        assert waiting is not None
        states.append(waiting.state)

    assert states == [EntryState.QUEUED, EntryState.DONE]


async def test_an_earlier_attempt_is_read_as_it_ended(queue: Queue) -> None:
    """Each has its own outcome, log and end; one that never ran is none."""
    await queue.submit("x", retries=TWICE)
    first = await queue.take()
    await queue.start(run_of(first), 6.0)
    await queue.finish(run_of(first), FAILED, DONE_AT)

    found = await queue.entry_in_attempt(EntryId(1), 1)

    assert found is not None
    assert found.run is not None
    assert first.run is not None
    assert (found.state, found.outcome, found.run.log) == (EntryState.DONE, FAILED, first.run.log)
    assert await queue.state_before_end(EntryId(1), 1) is EntryState.RUNNING
    assert await queue.entry_in_attempt(EntryId(1), 7) is None
