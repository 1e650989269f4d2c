"""What of a long queue is nearest to whoever looks: what runs, what is next, what has just ended. Nothing here grows with the queue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expd.queueing.database import Cursor
from expd.queueing.entry import Entry
from expd.queueing.rows import SELECT_ENTRY, entry_from_row
from expproto.vocabulary import EntryId

_ENDED_SHOWN = 10
"""Places that the newest ends have beside any number that waits: how it went is asked as often as what comes."""

_ACTIVE = "SELECT id FROM entries WHERE state IN ('preparing', 'running', 'collecting') AND state <> 'done' ORDER BY id LIMIT ?"
READY = """SELECT id, engine, grp, at_once FROM entries WHERE standing = 'ready'
    ORDER BY engine, at_once, grp, priority DESC, place LIMIT ?"""
WAITING = (
    "SELECT id FROM entries WHERE state = 'queued' AND blocked > 0 ORDER BY id LIMIT ?",
    "SELECT id FROM entries WHERE state = 'queued' AND not_before IS NOT NULL ORDER BY not_before LIMIT ?",
    "SELECT id FROM entries WHERE state = 'held' AND state <> 'done' ORDER BY id LIMIT ?",
)
ENDED = "SELECT id FROM entries WHERE state = 'done' ORDER BY ended_at DESC, id DESC LIMIT ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """Entries by their id; how many come before each that may start; and how many entries are not among them."""

    entries: tuple[Entry, ...]
    turns: Mapping[EntryId, int]
    left_out: int


def read_nearest(cursor: Cursor, most: int) -> Nearest:
    """Read so many entries at most, each kind by an index that has it in order."""
    active = _ids(cursor, _ACTIVE, most)
    turns = _first_turns(cursor, most)
    waiting = list(dict.fromkeys([*turns, *(entry for sql in WAITING for entry in _ids(cursor, sql, most))]))
    chosen = choose(active, waiting, _ids(cursor, ENDED, most), most)
    places = ", ".join("?" * len(chosen))
    rows = cursor.execute(f"{SELECT_ENTRY} WHERE entries.id IN ({places}) ORDER BY entries.id", chosen)
    entries = tuple(entry_from_row(row) for row in rows)
    total = cursor.execute("SELECT coalesce(sum(n), 0) AS n FROM tallies").fetchone()["n"]
    return Nearest(entries=entries, turns=turns, left_out=int(total) - len(entries))


def choose(active: Sequence[EntryId], waiting: Sequence[EntryId], ended: Sequence[EntryId], most: int) -> list[EntryId]:
    """Give what runs, then what waits, and what ended last in the places that are left, of which it has some for itself."""
    room = max(0, most - len(active))
    newest = ended[: max(min(_ENDED_SHOWN, room), room - len(waiting))]
    return [*active[:most], *waiting[: room - len(newest)], *newest]


def _ids(cursor: Cursor, sql: str, most: int) -> list[EntryId]:
    return [EntryId(row["id"]) for row in cursor.execute(sql, (most,))]


def _first_turns(cursor: Cursor, most: int) -> dict[EntryId, int]:
    """Map what may start to how many of its group come before it: each group is read from its first one on."""
    turns: dict[EntryId, int] = {}
    counts: dict[tuple[object, ...], int] = {}
    for row in cursor.execute(READY, (most,)):
        group = (row["engine"], row["at_once"], row["grp"])
        turns[EntryId(row["id"])] = counts.get(group, 0)
        counts[group] = turns[EntryId(row["id"])] + 1
    return turns
