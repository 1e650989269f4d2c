"""What of a long queue is nearest to whoever looks: what runs, what is next, what has just ended. Nothing here grows with the queue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expd.queueing.database import Cursor
from expd.queueing.entry import Entry
from expd.queueing.rows import SELECT_ENTRY, entry_from_row
from expd.queueing.schedule import MANY
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
_READY_HERE = "FROM entries WHERE standing = 'ready' AND engine = ? AND at_once = 0 AND grp = ?"
AHEAD = f"""SELECT count(*) AS n FROM (SELECT 1 {_READY_HERE} AND priority > ?
    UNION ALL SELECT 1 {_READY_HERE} AND priority = ? AND place < ? LIMIT ?)"""  # noqa: S608 - the text above
TURNS = f"SELECT id {_READY_HERE} ORDER BY priority DESC, place LIMIT ?"
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


def count_ahead(cursor: Cursor, entry: EntryId) -> int:
    """Count what may start before an entry, up to MANY: what has a higher priority, and of its own what stands before it."""
    sql = "SELECT engine, grp, priority, place FROM entries WHERE id = ?"
    row = cursor.execute(sql, (entry,)).fetchone()
    if row is None:
        return 0
    group = (row["engine"], row["grp"], row["priority"])
    return int(cursor.execute(AHEAD, (*group, *group, row["place"], MANY)).fetchone()["n"])


def read_turns(cursor: Cursor) -> dict[EntryId, int]:
    """Map the first MANY of each group that may start to how many of it come before."""
    sql = "SELECT engine, grp FROM tallies WHERE standing = 'ready' AND at_once = 0 AND n > 0"
    groups = [(row["engine"], row["grp"]) for row in cursor.execute(sql)]
    return {
        EntryId(row["id"]): ahead for group in groups for ahead, row in enumerate(cursor.execute(TURNS, (*group, MANY)))
    }


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
