"""What recovery asks of the rows, and does to them: one transaction each, inside the caller's."""

from dataclasses import dataclass

from expd.queueing.database import Cursor
from expd.queueing.recovery import WAITING
from expd.queueing.rows import read_entry
from expd.queueing.writing import change_state, end_entry
from expproto.vocabulary import EntryId, EntryState, Refused, Rev


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEntry:
    """An entry and what holds what was captured of it, for a comparison with its repository."""

    entry: EntryId
    state: EntryState
    stash_rev: Rev
    held_as: str
    git_directory: str
    captured_tree: Rev
    cache: str
    has_environment: bool


def read_kept(cursor: Cursor, git_directory: str | None) -> list[KeptEntry]:
    """Read all entries of a repository; with None those of all submissions of which something waits.

    What is done of such is among them: one ref holds them all, and what it is set to has to hold them all.
    """
    waiting = "entries.submission IN (SELECT submission FROM entries WHERE state IN ('held', 'queued'))"
    where = "entries.git_directory = ?" if git_directory else waiting
    sql = f"""SELECT entries.id, entries.state, entries.stash_rev, submissions.held_as, submissions.git_directory,
            submissions.captured_tree, submissions.cache,
            EXISTS (SELECT 1 FROM environments WHERE submission = submissions.id) AS has_environment
        FROM entries JOIN submissions ON submissions.id = entries.submission WHERE {where} ORDER BY entries.id"""  # noqa: S608 - two texts of ours
    return [
        KeptEntry(
            entry=EntryId(row["id"]),
            state=EntryState(row["state"]),
            stash_rev=Rev(row["stash_rev"]),
            held_as=row["held_as"],
            git_directory=row["git_directory"],
            captured_tree=Rev(row["captured_tree"]),
            cache=row["cache"],
            has_environment=bool(row["has_environment"]),
        )
        for row in cursor.execute(sql, (git_directory,) if git_directory else ())
    ]


def give_up_entry(cursor: Cursor, entry_id: EntryId, reason: str, at: float) -> bool:
    """End an entry that waits, as refused; False if it waits no more."""
    entry = read_entry(cursor, entry_id)
    if entry is None or entry.state not in WAITING:
        return False
    end_entry(cursor, entry, Refused(reason=reason), at)
    return True


def set_entry_aside(cursor: Cursor, entry_id: EntryId, reason: str, at: float) -> bool:
    """queued → held, with the reason; False if it is queued no more."""
    entry = read_entry(cursor, entry_id)
    if entry is None or entry.state is not EntryState.QUEUED:
        return False
    change_state(cursor, entry, EntryState.HELD, at, {"hold_reason": reason})
    return True


def check_store(cursor: Cursor) -> list[str]:
    """Let SQLite look through the whole file; gives what it finds wrong."""
    found = [str(row[0]) for row in cursor.execute("PRAGMA integrity_check(20)")]
    return [] if found == ["ok"] else found
