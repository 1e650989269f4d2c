"""What of a long queue is shown unasked, and that finding it costs no more the longer the queue is."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from daemon.queues import Queue, a_new_entry, a_submission
from expd.queueing import listing
from expd.queueing.acceptance import accept
from expd.queueing.database import Cursor, open_connection
from expd.queueing.groups import ensure_pool
from expd.queueing.listing import Nearest, choose, count_ahead, read_nearest, read_turns
from expd.queueing.schedule import MANY
from expproto.vocabulary import EntryId, Failed

ACTIVE = range(100, 103)
WAITING = range(200, 300)
ENDED = range(99, 0, -1)


@pytest.mark.parametrize(
    ("counts", "most", "chosen"),
    [
        ((3, 100, 99), 20, [*ACTIVE, *WAITING[:7], *ENDED[:10]]),
        ((3, 2, 99), 20, [*ACTIVE, *WAITING[:2], *ENDED[:15]]),
        ((3, 100, 4), 20, [*ACTIVE, *WAITING[:13], *ENDED[:4]]),
        ((3, 0, 0), 20, [*ACTIVE]),
        ((3, 100, 99), 2, [*ACTIVE[:2]]),
        ((3, 100, 99), 0, []),
    ],
)
def test_what_runs_goes_before_what_waits_and_both_leave_room_for_the_newest_ends(
    counts: Sequence[int], most: int, chosen: Sequence[int]
) -> None:
    """Ten places are for what has just ended, more where less waits; never more than were asked for."""
    active, waiting, ended = (
        [EntryId(entry) for entry in kind[:count]] for kind, count in zip((ACTIVE, WAITING, ENDED), counts, strict=True)
    )

    assert choose(active, waiting, ended, most) == chosen


async def test_the_nearest_entries_are_read_with_their_turns(queue: Queue) -> None:
    """One that runs, the next ones, one that waits for its release, the newest end; the rest is counted."""
    await queue.submit("a", "b", "c", "d", "e", "f")
    await queue.run(Failed(stage="train", exit_code=3))
    await queue.run(Failed(stage="train", exit_code=3))
    await queue.take()
    await queue.submit("held", on_hold=True)

    nearest = await queue.nearest(4)
    everything = await queue.nearest(100)

    assert ([entry.id for entry in nearest.entries], nearest.left_out) == ([1, 2, 3, 4], 3)
    assert _facts(everything) == ([1, 2, 3, 4, 5, 6, 7], {4: 0, 5: 1, 6: 2}, 0)


def _facts(nearest: Nearest) -> tuple[list[EntryId], dict[EntryId, int], int]:
    return [entry.id for entry in nearest.entries], dict(nearest.turns), nearest.left_out


LISTS = {
    "ready": listing.READY,
    "others": listing.WAITING[0],
    "its time": listing.WAITING[1],
    "held": listing.WAITING[2],
    "ended": listing.ENDED,
}


@pytest.mark.parametrize("kind", list(LISTS))
async def test_no_question_goes_through_the_queue(queue: Queue, kind: str) -> None:
    """Each kind is read from an index that has it in order, so the answer takes no longer with a hundred thousand."""
    explained = f"EXPLAIN QUERY PLAN {LISTS[kind]}"

    plan = await queue.database.run(lambda cursor: [str(row["detail"]) for row in cursor.execute(explained, (50,))])

    assert len(plan) == 1, plan
    assert " INDEX entries_b" in plan[0]


QUESTIONS: dict[str, Callable[[Cursor, EntryId], object]] = {
    "how many are ahead": count_ahead,
    "whose turn is when": lambda cursor, _last: read_turns(cursor),
    "the nearest": lambda cursor, _last: read_nearest(cursor, 30),
}


def test_what_an_entry_waits_for_costs_no_more_in_a_longer_queue(tmp_path: Path) -> None:
    """Beyond the number that is counted, SQLite takes as many steps for ten times as many; what is said is so many or more."""
    steps: dict[int, list[int]] = {}
    for count in (MANY + 500, 10 * MANY):
        with closing(_a_store(tmp_path / f"{count}.db", count)) as cursor:
            steps[count] = [_steps(cursor, ask, EntryId(count)) for ask in QUESTIONS.values()]
            assert (count_ahead(cursor, EntryId(count)), count_ahead(cursor, EntryId(MANY))) == (MANY, MANY - 1)
            assert read_turns(cursor) == {EntryId(number): number - 1 for number in range(1, MANY + 1)}

    assert steps[MANY + 500] == pytest.approx(steps[10 * MANY], rel=0.01)


def _a_store(path: Path, count: int) -> Cursor:
    """Make a store in which so many entries wait."""
    cursor = open_connection(path)
    ensure_pool(cursor, 1)
    cursor.execute("BEGIN")
    (first,) = accept(cursor, a_submission("request0"), [a_new_entry("n")]).entries
    columns = [row["name"] for row in cursor.execute("PRAGMA table_info(entries)") if row["name"] != "id"]
    changed = {"name": "name || number", "place": "place + number"}
    values = ", ".join(changed.get(column, column) for column in columns)  # generated columns are not among them
    more = f"INSERT INTO entries ({', '.join(columns)}) SELECT {values} FROM entries, (SELECT value AS number FROM json_each(?)) WHERE id = ?"
    cursor.execute(more, (str(list(range(1, count))), first.id))
    cursor.execute("COMMIT")
    return cursor


def _steps(cursor: Cursor, ask: Callable[[Cursor, EntryId], object], last: EntryId) -> int:
    """Count the instructions of SQLite's virtual machine that a question takes."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    cursor.set_progress_handler(step, 1)
    ask(cursor, last)
    cursor.set_progress_handler(None, 0)
    return steps
