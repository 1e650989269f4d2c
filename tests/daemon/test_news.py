"""What is to be told is given out once, in order, and says what it was the last of."""

from daemon.queues import RESULT, Queue, run_of
from expd.queueing.news import Event
from expd.queueing.steering import hold_entry
from expproto.vocabulary import Cancelled, EntryId, Failed, Lost, Outcome, Succeeded

DONE, FAILED, HELD, SWEEP_DONE, IDLE = Event.DONE, Event.FAILED, Event.HELD, Event.SWEEP_DONE, Event.IDLE
SUCCESS = Succeeded(rev=RESULT)
FAILURE = Failed(stage="train", exit_code=1)


async def told(queue: Queue) -> list[tuple[str, tuple[Event, ...]]]:
    """Take everything there is to be told."""
    found: list[tuple[str, tuple[Event, ...]]] = []
    looked = 0
    while True:
        news, looked = await queue.next_news(looked)
        if news is None:
            return found
        found.append((news.entry.name, news.events))


async def test_the_last_point_ends_its_sweep(queue: Queue) -> None:
    """A sweep ends once, with its last point; a single entry is no sweep."""
    await queue.begin_news()
    await queue.submit("a", "b")
    await queue.submit("c")
    for outcome in (SUCCESS, FAILURE, SUCCESS):
        await queue.run(outcome)

    assert await told(queue) == [("a", (DONE,)), ("b", (DONE, FAILED, SWEEP_DONE)), ("c", (DONE, IDLE))]
    assert await told(queue) == []


async def test_points_that_end_together_end_their_sweep_once(queue: Queue) -> None:
    """Where one failure ends all that waits, the last of those is the sweep's end."""
    await queue.begin_news()
    await queue.submit("a", "b", "c", max_failures=1)
    await queue.run(FAILURE)

    assert await told(queue) == [("a", (DONE, FAILED)), ("b", (DONE,)), ("c", (DONE, SWEEP_DONE, IDLE))]


async def test_an_attempt_that_another_one_follows_is_no_end(queue: Queue) -> None:
    """Two losses are no news; the third holds the entry, and that is."""
    await queue.begin_news()
    await queue.submit("x")
    lost: Outcome = Lost(reason="its worker ended")
    for _attempt in range(2):
        await queue.run(lost)
    before = await told(queue)
    await queue.run(lost)

    assert (before, await told(queue)) == ([], [("x", (HELD,))])


async def test_a_hold_that_somebody_asked_for_is_no_news(queue: Queue) -> None:
    """Whoever holds an entry knows it."""
    await queue.begin_news()
    await queue.submit("x", on_hold=True)
    await queue.submit("y")
    await queue.database.run(lambda cursor: hold_entry(cursor, EntryId(2), 3.0))

    assert await told(queue) == []


async def test_what_has_gone_on_is_told_as_it_ended_then(queue: Queue) -> None:
    """An end is told with its own outcome although another attempt runs already; without a run it left no trace."""
    await queue.begin_news()
    await queue.submit("ran")
    await queue.run(FAILURE)
    await queue.submit("waited")
    await queue.cancel([EntryId(2)], "no longer", 3.0)
    await queue.retry([EntryId(1), EntryId(2)], None, 10.0)

    (news, looked) = await queue.next_news(0)

    assert news is not None
    assert (news.entry.name, news.events, news.entry.outcome) == ("ran", (DONE, FAILED), FAILURE)
    assert (await queue.next_news(looked))[0] is None


async def test_what_happened_while_nobody_listened_is_no_news(queue: Queue) -> None:
    """News begin when somebody wants them, and after that go on wherever a daemon stopped."""
    await queue.submit("early", "late", "later")
    await queue.run(SUCCESS)
    assert await told(queue) == []
    await queue.begin_news()
    await queue.run(SUCCESS)
    await queue.begin_news()
    first = await told(queue)
    await queue.end_news()
    await queue.finish(run_of(await queue.take()), Cancelled(reason="no"), 9.0)
    await queue.begin_news()

    assert (first, await told(queue)) == ([("late", (DONE,))], [])
