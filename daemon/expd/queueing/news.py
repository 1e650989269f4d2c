"""What somebody may want to be told: ends and holds, each given out once, in the order in which they happened.

How far it came is in the store, and moves in the transaction that gives the next piece: what was given out before a crash
is not given out again.
"""

from dataclasses import dataclass
from enum import StrEnum

from expd.queueing.database import Cursor, Row
from expd.queueing.entry import Entry
from expd.queueing.rows import read_entry, read_entry_in_attempt
from expproto.vocabulary import EntryId, EntryState


class Event(StrEnum):
    """What there is to be told."""

    DONE = "done"
    """An entry has ended, in whatever way."""
    FAILED = "failed"
    """An entry has ended, neither with success nor because somebody wanted it to."""
    HELD = "held"
    """An entry was held, and nobody asked for it."""
    SWEEP_DONE = "sweep_done"
    """The last point of a sweep has ended."""
    IDLE = "idle"
    """Nothing runs, and nothing is queued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something that happened to an entry, and what it was the last of."""

    events: tuple[Event, ...]
    entry: Entry
    at: float


_WANTED = frozenset({"cancelled", "skipped", "succeeded"})
"""Outcomes that are no failure."""
_NEXT = """SELECT transitions.id, transitions.entry, transitions.attempt, transitions.at, state_after
    FROM transitions JOIN entries ON entries.id = transitions.entry
    WHERE transitions.id > ? AND (state_after = 'done' OR (state_after = 'held' AND hold_reason IS NOT NULL))
    ORDER BY transitions.id LIMIT 1"""
_POINTS = "SELECT id FROM entries WHERE submission = ? LIMIT 2"
_UNFINISHED_POINT = "SELECT 1 FROM entries WHERE submission = ? AND state <> 'done' ORDER BY id DESC LIMIT 1"
"""Looked for from the end, where it most likely is: the older point runs first."""
_LATER_POINT = """SELECT 1 FROM transitions CROSS JOIN entries ON entries.id = entry
    WHERE transitions.id > ? AND state_after = 'done' AND submission = ? LIMIT 1"""
"""From the few transitions that came since, not from all points: a CROSS JOIN keeps its order in SQLite."""
_UNFINISHED = (
    "SELECT 1 FROM entries WHERE state IN ('queued', 'preparing', 'running', 'collecting') AND state <> 'done' LIMIT 1"
)
"""The last condition lets SQLite use the index of what is not done."""
_LATER = "SELECT 1 FROM transitions WHERE id > ? AND state_after = 'done' LIMIT 1"


def begin_news(cursor: Cursor) -> None:
    """Tell what happens from now on, or go on where an earlier daemon stopped."""
    cursor.execute("INSERT OR IGNORE INTO news SELECT 1, coalesce(max(id), 0) FROM transitions")


def end_news(cursor: Cursor) -> None:
    """Nobody wants to be told any more: what happens meanwhile is no news later."""
    cursor.execute("DELETE FROM news")


def next_news(cursor: Cursor, looked_through: int) -> tuple[News | None, int]:
    """Give the next piece, never again; and up to which transition all was looked at, where the next look begins."""
    row = cursor.execute("SELECT told_through FROM news").fetchone()
    newest = int(cursor.execute("SELECT coalesce(max(id), 0) AS id FROM transitions").fetchone()["id"])
    if row is None:
        return None, newest
    looked_through = max(looked_through, int(row["told_through"]))
    while (found := cursor.execute(_NEXT, (looked_through,)).fetchone()) is not None:
        looked_through = int(found["id"])
        news = _news(cursor, found)
        if news is not None:
            cursor.execute("UPDATE news SET told_through = ?", (looked_through,))
            return news, looked_through
    return None, newest


def _news(cursor: Cursor, transition: Row) -> News | None:
    """Give what a transition is to be told as; None if what it was about has gone, or has gone on, without a trace."""
    entry_id = EntryId(transition["entry"])
    if transition["state_after"] == EntryState.HELD:
        entry = read_entry(cursor, entry_id)
        is_held = entry is not None and entry.state is EntryState.HELD
        events: tuple[Event, ...] = (Event.HELD,) if is_held else ()
    else:
        entry = read_entry_in_attempt(cursor, entry_id, int(transition["attempt"]))
        events = () if entry is None else _events(cursor, entry, int(transition["id"]))
    return News(events=events, entry=entry, at=float(transition["at"])) if entry is not None and events else None


def _events(cursor: Cursor, entry: Entry, transition: int) -> tuple[Event, ...]:
    if entry.outcome is None:  # cancelled before it ran, and queued again since
        return ()
    events = [Event.DONE]
    if entry.outcome.kind not in _WANTED:
        events.append(Event.FAILED)
    if _is_last_point(cursor, entry.submission_id, transition):
        events.append(Event.SWEEP_DONE)
    if not (_finds(cursor, _UNFINISHED) or _finds(cursor, _LATER, transition)):
        events.append(Event.IDLE)
    return tuple(events)


def _is_last_point(cursor: Cursor, submission: int, transition: int) -> bool:
    """Tell whether with this end a sweep has ended: several points may end in one transaction."""
    if len(cursor.execute(_POINTS, (submission,)).fetchall()) == 1:
        return False
    return not (_finds(cursor, _UNFINISHED_POINT, submission) or _finds(cursor, _LATER_POINT, transition, submission))


def _finds(cursor: Cursor, sql: str, *values: int) -> bool:
    return cursor.execute(sql, values).fetchone() is not None
