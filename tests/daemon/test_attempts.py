"""Attempts: what is done runs once more, with a run and an outcome of its own, and nothing of the earlier ones is lost."""

import pytest

from daemon.queues import RESULT, SECRET, Queue, a_claim, run_of
from expd.queueing.transitions import NameTaken, WrongState
from expproto.vocabulary import Cancelled, EntryId, EntryState, Failed, Succeeded

FAILED = Failed(stage="train", exit_code=3)


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
