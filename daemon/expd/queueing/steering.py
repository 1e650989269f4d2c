"""Steering what waits: its order, its slots, its time, and whether it runs at all. Each changes a row or two, by name."""

from expd.queueing.database import Cursor
from expd.queueing.entry import Entry
from expd.queueing.rows import read_entry
from expd.queueing.writing import WrongState, change_state, read_back
from expproto.vocabulary import EntryId, EntryState

WAITING = frozenset({EntryState.HELD, EntryState.QUEUED})
"""States in which an entry can be steered: its run has not begun."""


def hold_entry(cursor: Cursor, entry_id: EntryId, at: float) -> Entry:
    """queued → held; one that is held stays so. Raises WrongState."""
    entry = read_back(cursor, entry_id)
    if entry.state is EntryState.HELD:
        return entry
    if entry.state is not EntryState.QUEUED:
        raise WrongState(entry.id, entry.state)
    change_state(cursor, entry, EntryState.HELD, at)
    return read_back(cursor, entry_id)


def run_entry_now(cursor: Cursor, entry_id: EntryId, at: float) -> Entry:
    """Let an entry that waits run at once, whatever slots there are: held or queued → queued. Raises WrongState."""
    entry = read_waiting(cursor, entry_id)
    if entry.state is EntryState.HELD:
        change_state(cursor, entry, EntryState.QUEUED, at, {"hold_reason": None, "losses": 0})
    cursor.execute("UPDATE entries SET at_once = 1, not_before = NULL WHERE id = ?", (entry_id,))
    return read_back(cursor, entry_id)


def move_to_top(cursor: Cursor, entry_id: EntryId) -> Entry:
    """Let an entry that waits be the next of its group; raises WrongState."""
    entry = read_waiting(cursor, entry_id)
    sql = """SELECT id, priority, place FROM entries WHERE state = 'queued' AND engine = ? AND grp = ? AND at_once = 0
        AND standing = 'ready' ORDER BY priority DESC, place LIMIT 1"""
    first = cursor.execute(sql, (entry.submission.engine, entry.place.group)).fetchone()
    if first is not None and first["id"] != entry_id:
        priority = max(first["priority"], entry.place.priority)
        place = first["place"] - 1.0 if priority == first["priority"] else _place_of(cursor, entry_id)
        cursor.execute("UPDATE entries SET priority = ?, place = ? WHERE id = ?", (priority, place, entry_id))
    return read_back(cursor, entry_id)


def move_before(cursor: Cursor, entry_id: EntryId, other_id: EntryId) -> Entry:
    """Let an entry that waits run right before another one that waits, in its group and with its priority.

    Raises WrongState for either.
    """
    read_waiting(cursor, entry_id)
    other = read_waiting(cursor, other_id)
    if entry_id == other_id:
        return other
    place = _place_before(cursor, entry_id, other)
    sql = "UPDATE entries SET grp = ?, priority = ?, place = ? WHERE id = ?"
    cursor.execute(sql, (other.place.group, other.place.priority, place, entry_id))
    return read_back(cursor, entry_id)


def _place_before(cursor: Cursor, entry_id: EntryId, other: Entry) -> float:
    """Find a place between an entry and the one before it; where none is left, all of its priority are counted anew."""
    values = (other.place.group, other.place.priority)
    neighbours = """SELECT max(place) AS place FROM entries WHERE state IN ('held', 'queued') AND grp = ? AND priority = ?
        AND id <> ? AND place < ?"""
    for _twice in range(2):
        behind = _place_of(cursor, other.id)
        before = cursor.execute(neighbours, (*values, entry_id, behind)).fetchone()["place"]
        if before is None:
            return behind - 1.0
        between = (before + behind) / 2
        if before < between < behind:
            return float(between)
        _count_anew(cursor, *values)
    raise AssertionError("between two whole numbers there is a half")


def _count_anew(cursor: Cursor, group: str, priority: int) -> None:
    """Give whole numbers to all that wait with one priority in one group, in their order."""
    sql = "SELECT id FROM entries WHERE state IN ('held', 'queued') AND grp = ? AND priority = ? ORDER BY place, id"
    for number, row in enumerate(cursor.execute(sql, (group, priority)).fetchall()):
        cursor.execute("UPDATE entries SET place = ? WHERE id = ?", (float(number), row["id"]))


def _place_of(cursor: Cursor, entry_id: EntryId) -> float:
    return float(cursor.execute("SELECT place FROM entries WHERE id = ?", (entry_id,)).fetchone()["place"])


def read_waiting(cursor: Cursor, entry_id: EntryId) -> Entry:
    """Read an entry that waits; raises WrongState for one that does not, and for one that was removed meanwhile."""
    entry = read_entry(cursor, entry_id)
    if entry is None or entry.state not in WAITING:
        raise WrongState(entry_id, "gone" if entry is None else entry.state)
    return entry
