"""Entries that are done leave the queue: rows and environment, in one transaction; files and refs go afterwards."""

from dataclasses import dataclass

from expd.queueing.database import Cursor
from expd.queueing.rows import read_entry
from expd.queueing.writing import WrongState
from expproto.vocabulary import EntryId, EntryState, RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What is left of an entry that is in the queue no more: the files of its runs, and what held its commits.

    `held_as` names the submission's ref; None while other entries of the submission are there.
    """

    entry: EntryId
    git_directory: str
    held_as: str | None
    runs: tuple[RunId, ...]


def remove_entry(cursor: Cursor, entry_id: EntryId) -> Removed | None:
    """Delete an entry with its runs, and with the last one its submission and environment; None if it is not there.

    Raises WrongState for one that is not done.
    """
    entry = read_entry(cursor, entry_id)
    if entry is None:
        return None
    if entry.state is not EntryState.DONE:
        raise WrongState(entry.id, entry.state)
    runs = cursor.execute("SELECT id FROM runs WHERE entry = ? ORDER BY id", (entry_id,)).fetchall()
    for table in ("runs", "transitions"):
        cursor.execute(f"DELETE FROM {table} WHERE entry = ?", (entry_id,))  # noqa: S608 - the names above
    cursor.execute("DELETE FROM dependencies WHERE entry = ? OR needs = ?", (entry_id, entry_id))
    cursor.execute("DELETE FROM entries WHERE id = ?", (entry_id,))
    rest = cursor.execute("SELECT 1 FROM entries WHERE submission = ? LIMIT 1", (entry.submission_id,)).fetchone()
    if rest is None:
        cursor.execute("DELETE FROM submissions WHERE id = ?", (entry.submission_id,))
    return Removed(
        entry=entry_id,
        git_directory=entry.submission.git_directory,
        held_as=entry.submission.held_as if rest is None else None,
        runs=tuple(RunId(row["id"]) for row in runs),
    )
