"""Retries, holds, losses and restarts of the daemon together: what an entry has come to after each sequence of them.

After every step rows, tallies, runs and the order of events agree, and what is queued can come to run.
"""

import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.queues import RESULT, Queue, a_claim, run_of
from expd.queueing.database import Cursor
from expd.queueing.dependents import Dependency
from expd.queueing.entry import Entry
from expd.queueing.recovery import RunFacts, decide, outcome_of_loss
from expd.queueing.steering import hold_entry, run_entry_now
from expd.queueing.writing import WrongState
from expproto.retries import RetryPolicy
from expproto.vocabulary import EntryId, Failed, Mode, Outcome, RunId, Succeeded

IT, OTHER = EntryId(1), EntryId(2)
FAILED = Failed(stage="train", exit_code=3)
BACKOFF = 60.0
NOW = 9.0
LATER = 1e9
MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """Give a directory in memory, where there is one: four hundred transactions would wait for the disk, and none is about it."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        yield Path(directory)


class Story:
    """One entry, and what happens to it: each verb is a step."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def entry(self, entry_id: EntryId = IT) -> Entry:
        """Read the entry, or another one."""
        entry = await self._queue.entry(entry_id)
        assert entry is not None
        return entry

    async def take(self) -> None:
        """A worker takes it, if it may start."""
        await self._queue.claim(a_claim(f"token{(await self.entry()).attempt}"))

    async def fail(self) -> None:
        """Its run fails."""
        await self._end(FAILED)

    async def succeed(self) -> None:
        """Its run succeeds."""
        await self._end(Succeeded(rev=RESULT))

    async def lose(self) -> None:
        """Its worker dies: the daemon finds no record, at once or when it starts."""
        await self._recover(record=None, is_explained=False)

    async def reboot(self) -> None:
        """The machine goes down under it, and the daemon that starts finds no record."""
        await self._recover(record=None, is_explained=True)

    async def crash_after_failure(self) -> None:
        """It failed while no daemon was there, and its worker left a record."""
        await self._recover(record=FAILED, is_explained=False)

    async def cancel(self) -> None:
        """Somebody wants its end."""
        await self._queue.cancel([IT], "no", NOW)

    async def hold(self) -> None:
        """Somebody wants it to wait."""
        await self._queue.steer([IT], lambda cursor, entry: hold_entry(cursor, entry, NOW))

    async def release(self) -> None:
        """Somebody lets it go."""
        await self._queue.release([IT], NOW)

    async def retry(self) -> None:
        """Somebody wants another attempt."""
        await self._queue.retry([IT], None, NOW)

    async def resume(self) -> None:
        """Somebody wants it to go on in what its first run left."""
        await self._queue.resume({IT: RunId(1)}, None, NOW)

    async def run_now(self) -> None:
        """Somebody wants it to run at once."""
        await self._queue.steer([IT], lambda cursor, entry: run_entry_now(cursor, entry, NOW))

    async def set_aside(self) -> None:
        """A start finds its repository away."""
        await self._queue.set_aside(IT, "its repository is not there", NOW)

    async def wait(self) -> None:
        """The time of its next attempt comes."""
        await self._queue.wake(LATER)

    async def hear_late(self) -> None:
        """Its first run reports an end that somebody has given up before: that changes nothing."""
        before = await self.entry()
        with pytest.raises(WrongState):
            await self._queue.finish(RunId(1), Succeeded(rev=RESULT), NOW)
        assert await self.entry() == before

    async def _end(self, outcome: Outcome) -> None:
        await self._queue.finish(run_of(await self.entry()), outcome, NOW)

    async def _recover(self, *, record: Outcome | None, is_explained: bool) -> None:
        run = (await self.entry()).run
        assert run is not None
        verdict = decide(RunFacts(worker_lives=False, has_record=record is not None))
        assert verdict == ("lose" if record is None else "settle")
        outcome = record or outcome_of_loss(run, "its worker ended with code -9", is_explained=is_explained)
        await self._queue.finish(run.id, outcome, NOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Come:
    """What it has come to: its state or outcome, in which attempt, with how many retries, and what is special about it."""

    to: str
    attempt: int
    left: int = 2
    losses: int = 0
    waits_for_time: bool = False
    is_held_by_us: bool = False


THRICE = "take lose take lose take lose"
STORIES: Mapping[str, Come] = {
    "take lose": Come(to="queued", attempt=2, losses=1),
    "take fail": Come(to="queued", attempt=2, left=1, waits_for_time=True),
    "take lose take fail": Come(to="queued", attempt=3, left=1, waits_for_time=True),
    "take fail wait take lose": Come(to="queued", attempt=3, left=1, losses=1),
    "take fail wait take lose take fail": Come(to="queued", attempt=4, left=0, waits_for_time=True),
    "take fail wait take fail wait take lose": Come(to="queued", attempt=4, left=0, losses=1),
    "take fail wait take fail wait take fail": Come(to="failed", attempt=3, left=0),
    "take crash_after_failure": Come(to="queued", attempt=2, left=1, waits_for_time=True),
    # three losses, whenever the daemon looked
    THRICE: Come(to="held", attempt=4, losses=3, is_held_by_us=True),
    "take lose take reboot take lose": Come(to="queued", attempt=4, losses=2),
    "take lose take lose take reboot take lose": Come(to="held", attempt=5, losses=3, is_held_by_us=True),
    "take lose take lose take fail wait take lose": Come(to="queued", attempt=5, left=1, losses=1),
    f"{THRICE} release": Come(to="queued", attempt=4),
    f"{THRICE} release take lose": Come(to="queued", attempt=5, losses=1),
    f"{THRICE} retry": Come(to="queued", attempt=4),
    f"{THRICE} resume": Come(to="queued", attempt=4),
    f"{THRICE} run_now take": Come(to="preparing", attempt=4),
    f"{THRICE} cancel": Come(to="cancelled", attempt=4, losses=3),
    f"{THRICE} cancel retry": Come(to="queued", attempt=5),
    f"take fail wait {THRICE} retry": Come(to="queued", attempt=5),
    # waiting for the next attempt
    "take fail take": Come(to="queued", attempt=2, left=1, waits_for_time=True),
    "take fail cancel": Come(to="cancelled", attempt=2, left=1),
    "take fail cancel hear_late": Come(to="cancelled", attempt=2, left=1),
    "take fail retry take": Come(to="preparing", attempt=2, left=1),
    "take fail run_now take": Come(to="preparing", attempt=2, left=1),
    "take fail resume take": Come(to="preparing", attempt=2, left=1),
    "take fail hold": Come(to="held", attempt=2, left=1, waits_for_time=True),
    "take fail hold wait": Come(to="held", attempt=2, left=1, waits_for_time=True),
    "take fail hold release take": Come(to="queued", attempt=2, left=1, waits_for_time=True),
    "take fail hold wait release wait take": Come(to="preparing", attempt=2, left=1),
    "take fail hold retry take": Come(to="preparing", attempt=2),
    "take fail hold cancel": Come(to="cancelled", attempt=2, left=1),
    "take fail set_aside": Come(to="held", attempt=2, left=1, waits_for_time=True, is_held_by_us=True),
    "take fail set_aside release wait take": Come(to="preparing", attempt=2, left=1),
    # a hold, and a report of the run before it
    "take lose hold hear_late": Come(to="held", attempt=2, losses=1),
    "take lose hold release take lose": Come(to="queued", attempt=3, losses=1),
    "take lose hear_late take succeed": Come(to="succeeded", attempt=2, losses=1),
    "hold release take lose": Come(to="queued", attempt=2, losses=1),
    "set_aside cancel": Come(to="cancelled", attempt=1),
    # an end that is wanted
    "take cancel lose": Come(to="cancelled", attempt=1),
    "take cancel reboot": Come(to="cancelled", attempt=1),
    "take cancel crash_after_failure": Come(to="failed", attempt=1),
    "take lose take lose take cancel lose": Come(to="cancelled", attempt=3, losses=2),
    "take lose take cancel succeed": Come(to="succeeded", attempt=2, losses=1),
    "take cancel lose retry take lose": Come(to="queued", attempt=3, losses=1),
}


@pytest.mark.parametrize("story", list(STORIES))
async def test_every_sequence_of_ends_holds_and_restarts_has_its_outcome(queue: Queue, story: str) -> None:
    """Losses use up no retry, a hold by us ends with the next wish, what is cancelled stays so, late reports change nothing."""
    await queue.submit("x", retries=RetryPolicy(retries=2, backoff_seconds=BACKOFF))
    teller = Story(queue)
    for word in story.split():
        step: Callable[[], Awaitable[None]] = getattr(teller, word)
        await step()
        await queue.database.run(_check)

    entry = await teller.entry()
    assert STORIES[story] == Come(
        to=entry.state if entry.outcome is None else entry.outcome.kind,
        attempt=entry.attempt,
        left=entry.retries_left,
        losses=entry.tries.losses,
        waits_for_time=entry.not_before is not None,
        is_held_by_us=entry.hold_reason is not None,
    )


@pytest.mark.parametrize(
    ("mode", "retries", "outcome"), [(Mode.TEMP, 0, "lost"), (Mode.TEMP, 1, None), (Mode.WORKSPACE, 1, "lost")]
)
async def test_what_somebody_sits_before_is_lost_once(
    queue: Queue, mode: Mode, retries: int, outcome: str | None
) -> None:
    """Unless retries were asked for, and in the workspace in any case: it ends with the daemon's next start."""
    await queue.submit("x", mode=mode, retries=RetryPolicy(retries=retries))
    story = Story(queue)
    await story.take()
    await story.lose()
    await queue.database.run(_check)

    entry = await story.entry()
    assert (None if entry.outcome is None else entry.outcome.kind) == outcome


async def test_what_was_skipped_and_is_wanted_all_the_same_waits_for_nothing(queue: Queue) -> None:
    """Retried by hand it runs, also when what else it waited for ends later."""
    await queue.submit("first", "second")
    after = tuple(Dependency(needs=EntryId(needs), condition="ok") for needs in (1, 2))
    await queue.submit("behind", after=after)
    story = Story(queue)
    await story.take()
    second = await queue.take()
    await story.fail()

    await queue.retry([EntryId(3)], None, NOW)
    await queue.finish(run_of(second), FAILED, NOW)
    await queue.database.run(_check)

    behind = await story.entry(EntryId(3))
    assert (behind.waits_for, (await queue.take()).id) == ((), EntryId(3))


def _check(cursor: Cursor) -> None:
    """What rows, tallies, runs and events say is the same, and nothing that is queued waits for what never comes."""
    newest = "SELECT state_after FROM transitions WHERE entry = entries.id ORDER BY id DESC LIMIT 1"
    assert not _rows(cursor, f"SELECT id, state FROM entries WHERE state IS NOT ({newest})")
    counted = "SELECT engine, grp, at_once, standing, count(*) FROM entries GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    tallies = "SELECT engine, grp, at_once, standing, n FROM tallies WHERE n > 0 ORDER BY 1, 2, 3, 4"
    assert _rows(cursor, counted) == _rows(cursor, tallies)
    active = "SELECT id FROM entries WHERE standing = 'active' ORDER BY id"
    assert _rows(cursor, active) == _rows(cursor, "SELECT entry FROM runs WHERE ended_at IS NULL ORDER BY entry")
    stuck = """SELECT id FROM entries WHERE state = 'queued' AND blocked <> (SELECT count(*) FROM dependencies
        JOIN entries AS needed ON needed.id = needs WHERE entry = entries.id AND met = 0 AND needed.state <> 'done')"""
    assert not _rows(cursor, stuck)


def _rows(cursor: Cursor, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in cursor.execute(sql)]
