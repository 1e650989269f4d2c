"""A submission becomes rows: all of its entries or none, once for a request id."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from expd.queueing.database import Cursor
from expd.queueing.dependents import add_dependencies
from expd.queueing.entry import Entry, NewEntry, Submission
from expd.queueing.groups import check_group
from expd.queueing.rows import SELECT_ENTRY, entry_from_row
from expd.queueing.transitions import ACTIVE, cancel_entry
from expd.queueing.writing import (
    NameTaken,
    WorkspaceBusy,
    insert,
    living_holder,
    look_at_needs,
    note_transition,
)
from expproto.fields import to_map
from expproto.vocabulary import EntryId, EntryState, Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The entries of a submission, and those that were cancelled in their favour."""

    entries: list[Entry]
    replaced: list[EntryId]


def accept(cursor: Cursor, submission: Submission, entries: Sequence[NewEntry]) -> Accepted:
    """Insert a submission with its entries, unless its request id is known; raises NameTaken and WorkspaceBusy."""
    if before := entries_of_request(cursor, submission.request_id):
        return Accepted(entries=before, replaced=[])
    submission_id = _insert_submission(cursor, submission)
    replaced = list[EntryId]()
    check_group(cursor, submission.place.group)
    if submission.mode is Mode.WORKSPACE:
        check_workspace(cursor, submission.workspace)
    for entry in entries:
        replaced.extend(_make_room(cursor, submission, entry.name))
        _insert_entry(cursor, submission_id, submission, entry)
    return Accepted(entries=entries_of_request(cursor, submission.request_id), replaced=replaced)


def entries_of_request(cursor: Cursor, request_id: str) -> list[Entry]:
    """Read the entries of the submission with this request id."""
    sql = f"{SELECT_ENTRY} WHERE submissions.request_id = ? ORDER BY entries.id"
    return [entry_from_row(row) for row in cursor.execute(sql, (request_id,))]


def _insert_submission(cursor: Cursor, submission: Submission) -> int:
    columns = {
        "request_id": submission.request_id,
        "held_as": submission.held_as,
        "git_directory": submission.git_directory,
        "workspace": submission.workspace,
        "root": submission.root,
        "directory": submission.directory,
        "cache": submission.cache,
        "baseline_rev": submission.baseline_rev,
        "message": submission.message,
        "command": None if submission.command is None else json.dumps(submission.command),
        "targets": json.dumps(submission.targets),
        "force": int(submission.force),
        "stage_options": json.dumps(to_map(submission.stage_options)),
        "limits": json.dumps(to_map(submission.limits)),
        "retries": json.dumps(to_map(submission.retries)),
        "umask": submission.umask,
        "name": submission.name,
        "submitted_at": submission.submitted_at,
        "mode": submission.mode,
        "captured_tree": submission.captured_tree,
        "verifies": submission.verifies,
        "copies": submission.copies,
        "as_stage": int(submission.as_stage),
        "max_failures": submission.max_failures,
        "engine": submission.engine,
        "engine_queue": submission.engine_queue,
        "pushes_data": int(submission.pushes_data),
    }
    submission_id = insert(cursor, "submissions", columns)
    insert(cursor, "environments", {"submission": submission_id, "variables": submission.environment})
    return submission_id


def _insert_entry(cursor: Cursor, submission_id: int, submission: Submission, entry: NewEntry) -> None:
    state = EntryState.HELD if submission.on_hold else EntryState.QUEUED
    columns = {
        "submission": submission_id,
        "git_directory": submission.git_directory,
        "baseline_rev": submission.baseline_rev,
        "mode": submission.mode,
        "engine": submission.engine,
        "workspace": submission.workspace if submission.mode is Mode.WORKSPACE else None,
        "name": entry.name,
        "stash_rev": entry.stash_rev,
        "params": json.dumps(entry.params),
        "state": state,
        "priority": submission.place.priority,
        "grp": submission.place.group,
        "not_before": submission.place.not_before,
        "at_once": int(submission.mode is not Mode.QUEUE),
        "place": next_place(cursor),
    }
    entry_id = EntryId(insert(cursor, "entries", columns))
    note_transition(cursor, entry_id, 1, (None, state), submission.submitted_at)
    add_dependencies(cursor, entry_id, submission.after)
    look_at_needs(cursor, entry_id, submission.submitted_at)


def next_place(cursor: Cursor) -> float:
    """Give the place behind all others: ids grow, and so do these."""
    row = cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    return 1.0 if row is None else float(row["seq"]) + 1.0


def _make_room(cursor: Cursor, submission: Submission, name: str) -> list[EntryId]:
    """Refuse a name that a living entry has, or, by force, end that entry if it has not started; gives what was ended."""
    holder = living_holder(cursor, submission, name)
    if holder is None:
        return []
    if not submission.force or holder.state in ACTIVE or holder.name != name:
        raise NameTaken(name, holder.id, holder.name)
    cancel_entry(cursor, holder.id, "replaced by a newer submission of this name", submission.submitted_at)
    return [holder.id]


def check_workspace(cursor: Cursor, workspace: str) -> None:
    """Raise WorkspaceBusy while a run has this workspace for itself."""
    sql = "SELECT id, name FROM entries WHERE workspace = ? AND state <> 'done'"
    row = cursor.execute(sql, (workspace,)).fetchone()
    if row is not None:
        raise WorkspaceBusy(workspace, EntryId(row["id"]), row["name"])
