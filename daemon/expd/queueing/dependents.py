"""What waits for other entries (`--after`): let go when those end as it wants them to, skipped when they can't any more.

Carried out in the transaction that ends an entry, or lets it begin anew; what is skipped lets others be skipped in turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from expd.queueing.database import Cursor
from expproto.vocabulary import EntryId, EntryState, Outcome, Succeeded

Condition = Literal["ok", "any", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """An entry that has to end first: well (`ok`), otherwise (`failed`), or in `any` way."""

    needs: EntryId
    condition: Condition


class UnusableDependency(Exception):
    """An entry can't be made to wait for `needs`: `what` says why."""

    def __init__(self, entry: EntryId, needs: EntryId, what: str) -> None:
        super().__init__(what)
        self.entry = entry
        self.needs = needs
        self.what = what


def is_met(condition: Condition, outcome: Outcome) -> bool:
    """Tell whether an entry ended as it was to."""
    return condition == "any" or (condition == "ok") == isinstance(outcome, Succeeded)


def reason_to_skip(needs: EntryId, condition: Condition) -> str:
    """Say why an entry can never run."""
    how = "did not succeed" if condition == "ok" else "succeeded"
    return f"skipped: entry {needs}, which it waits for, {how} (--after {needs}:{condition})"


def add_dependencies(cursor: Cursor, entry: EntryId, after: Sequence[Dependency]) -> None:
    """Note what an entry waits for; what of it has ended already is looked at by `unmet`."""
    for each in after:
        values = (entry, each.needs, each.condition)
        cursor.execute("INSERT OR IGNORE INTO dependencies (entry, needs, condition) VALUES (?, ?, ?)", values)
    count_blocked(cursor, entry)


def waiting_behind(cursor: Cursor, entry: EntryId) -> set[EntryId]:
    """List what waits now for an entry, and for that in turn."""
    sql = """WITH RECURSIVE behind (id) AS (
            SELECT dependencies.entry FROM dependencies JOIN entries ON entries.id = dependencies.entry
            WHERE needs = ? AND met = 0 AND state IN ('held', 'queued')
            UNION SELECT dependencies.entry FROM behind JOIN dependencies ON needs = behind.id
            JOIN entries ON entries.id = dependencies.entry WHERE met = 0 AND state IN ('held', 'queued'))
        SELECT id FROM behind"""
    return {EntryId(row["id"]) for row in cursor.execute(sql, (entry,))}


def dependents_of(cursor: Cursor, entries: Sequence[EntryId]) -> list[EntryId]:
    """List what waits, or waited, for these entries, and for those in turn."""
    marks = ", ".join("?" * len(entries))
    sql = f"""WITH RECURSIVE behind (id) AS (SELECT entry FROM dependencies WHERE needs IN ({marks})
        UNION SELECT entry FROM dependencies JOIN behind ON needs = behind.id) SELECT id FROM behind"""  # noqa: S608 - marks
    return [EntryId(row["id"]) for row in cursor.execute(sql, tuple(entries))] if entries else []


def waiting_for(cursor: Cursor, needs: EntryId) -> list[tuple[EntryId, Condition]]:
    """List the entries that still wait for one, and how it is to end."""
    sql = """SELECT dependencies.entry, condition FROM dependencies JOIN entries ON entries.id = dependencies.entry
        WHERE needs = ? AND met = 0 AND state IN ('held', 'queued') ORDER BY dependencies.entry"""
    return [(EntryId(row["entry"]), row["condition"]) for row in cursor.execute(sql, (needs,)).fetchall()]


def skipped_for(cursor: Cursor, needs: EntryId) -> list[EntryId]:
    """List the entries that were skipped because of one."""
    sql = """SELECT dependencies.entry FROM dependencies JOIN entries ON entries.id = dependencies.entry
        WHERE needs = ? AND met = 0 AND outcome_kind = 'skipped' ORDER BY dependencies.entry"""
    return [EntryId(row["entry"]) for row in cursor.execute(sql, (needs,)).fetchall()]


def set_met(cursor: Cursor, entry: EntryId, needs: EntryId) -> None:
    """Note that an entry need not wait for another one any more."""
    cursor.execute("UPDATE dependencies SET met = 1 WHERE entry = ? AND needs = ?", (entry, needs))
    count_blocked(cursor, entry)


def set_all_met(cursor: Cursor, entry: EntryId) -> None:
    """Note that an entry need not wait for any other: somebody wants it to run whatever became of them."""
    cursor.execute("UPDATE dependencies SET met = 1 WHERE entry = ?", (entry,))


def needs_of(cursor: Cursor, entry: EntryId) -> list[tuple[Dependency, EntryState, str | None]]:
    """List what an entry waits for, with the state and the stored outcome of each."""
    sql = """SELECT needs, condition, state, outcome FROM dependencies JOIN entries ON entries.id = needs
        WHERE entry = ? AND met = 0 ORDER BY needs"""
    return [
        (Dependency(needs=EntryId(row["needs"]), condition=row["condition"]), EntryState(row["state"]), row["outcome"])
        for row in cursor.execute(sql, (entry,)).fetchall()
    ]


def count_blocked(cursor: Cursor, entry: EntryId) -> None:
    """Count anew how many entries have to end before one may run."""
    sql = "UPDATE entries SET blocked = (SELECT count(*) FROM dependencies WHERE entry = ? AND met = 0) WHERE id = ?"
    cursor.execute(sql, (entry, entry))
