"""Every transition as SQL, each inside the caller's transaction: what a crash leaves is before or after, never between."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from expd.queueing.database import Cursor, IntegrityError
from expd.queueing.entry import Entry, NewEntry, Submission, context_to_json, outcome_to_json
from expd.queueing.failures import reason_to_stop
from expd.queueing.rows import SELECT_ENTRY, entry_from_row, read_entry, read_run_entry
from expd.queueing.schedule import PoolState
from expproto.context import Context
from expproto.fields import to_map
from expproto.progress import RunProgress
from expproto.vocabulary import Cancelled, EntryId, EntryState, Mode, Outcome, RunId, Succeeded

ACTIVE = ("preparing", "running", "collecting")
_NEXT = "SELECT id FROM entries WHERE state = 'queued'"


class NameTaken(Exception):
    """`name` belongs to the living entry `entry`."""

    def __init__(self, name: str, entry: EntryId) -> None:
        super().__init__(name)
        self.name = name
        self.entry = entry


class WorkspaceBusy(Exception):
    """The living entry `entry`, named `name`, has `workspace` for itself."""

    def __init__(self, workspace: str, entry: EntryId, name: str) -> None:
        super().__init__(workspace)
        self.workspace = workspace
        self.entry = entry
        self.name = name


class WrongState(Exception):
    """Entry `entry` is in `state`, where this can't be done."""

    def __init__(self, entry: EntryId, state: str) -> None:
        super().__init__(f"entry {entry} is {state}")
        self.entry = entry
        self.state = state


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who takes the next entry: an idle worker, and the token that fences this attempt."""

    worker: str
    pid: int
    start_ticks: int
    boot_id: str
    token: str
    at: float
    immediate_only: bool = False
    """Take none of the queue's."""
    avoid: tuple[str, ...] = ()
    """Git directories of which none is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended, in what it took place, and whether its result has a note of that."""

    outcome: Outcome
    at: float
    context: Context | None = None
    progress: RunProgress | None = None
    is_noted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An entry whose run has ended, and the points of its sweep that were ended because of it."""

    entry: Entry
    stopped: list[EntryId]


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
    accepted = Accepted(entries=[], replaced=[])
    if submission.mode is Mode.WORKSPACE:
        check_workspace(cursor, submission.workspace)
    for entry in entries:
        accepted.replaced.extend(_make_room(cursor, submission, entry.name))
        accepted.entries.append(_insert_entry(cursor, submission_id, submission, entry))
    return accepted


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
        "umask": submission.umask,
        "name": submission.name,
        "submitted_at": submission.submitted_at,
        "mode": submission.mode,
        "captured_tree": submission.captured_tree,
        "verifies": submission.verifies,
        "copies": submission.copies,
        "as_stage": int(submission.as_stage),
        "max_failures": submission.max_failures,
    }
    submission_id = _insert(cursor, "submissions", columns)
    _insert(cursor, "environments", {"submission": submission_id, "variables": submission.environment})
    return submission_id


def _insert_entry(cursor: Cursor, submission_id: int, submission: Submission, entry: NewEntry) -> Entry:
    state = EntryState.HELD if submission.on_hold else EntryState.QUEUED
    columns = {
        "submission": submission_id,
        "git_directory": submission.git_directory,
        "baseline_rev": submission.baseline_rev,
        "mode": submission.mode,
        "workspace": submission.workspace if submission.mode is Mode.WORKSPACE else None,
        "name": entry.name,
        "stash_rev": entry.stash_rev,
        "params": json.dumps(entry.params),
        "state": state,
    }
    entry_id = EntryId(_insert(cursor, "entries", columns))
    _note_transition(cursor, entry_id, None, state, submission.submitted_at)
    return _read_back(cursor, entry_id)


def _make_room(cursor: Cursor, submission: Submission, name: str) -> list[EntryId]:
    """Refuse a name that a living entry has, or, by force, end that entry if it has not started; gives what was ended."""
    holder = _living_holder(cursor, submission, name)
    if holder is None:
        return []
    if not submission.force or holder.state in ACTIVE:
        raise NameTaken(name, holder.id)
    cancel_entry(cursor, holder.id, "replaced by a newer submission of this name", submission.submitted_at)
    return [holder.id]


def check_workspace(cursor: Cursor, workspace: str) -> None:
    """Raise WorkspaceBusy while a run has this workspace for itself."""
    sql = "SELECT id, name FROM entries WHERE workspace = ? AND state <> 'done'"
    row = cursor.execute(sql, (workspace,)).fetchone()
    if row is not None:
        raise WorkspaceBusy(workspace, EntryId(row["id"]), row["name"])


def _living_holder(cursor: Cursor, submission: Submission, name: str) -> Entry | None:
    """Find the entry that is not done and has this name beside a submission's entries."""
    where = "entries.git_directory = ? AND entries.baseline_rev = ? AND entries.name = ? AND entries.state <> 'done'"
    values = (submission.git_directory, submission.baseline_rev, name)
    row = cursor.execute(f"{SELECT_ENTRY} WHERE {where}", values).fetchone()
    return None if row is None else entry_from_row(row)


def next_for(cursor: Cursor, claim: Claim) -> Entry | None:
    """Find the entry that a claim would take."""
    avoid = f"AND git_directory NOT IN ({', '.join('?' * len(claim.avoid))})" if claim.avoid else ""
    row = cursor.execute(f"{_NEXT} AND mode <> 'queue' {avoid} ORDER BY id LIMIT 1", claim.avoid).fetchone()
    if row is None and not claim.immediate_only:
        row = cursor.execute(f"{_NEXT} AND mode = 'queue' {avoid} ORDER BY id LIMIT 1", claim.avoid).fetchone()
    return None if row is None else _read_back(cursor, EntryId(row["id"]))


def claim_next(cursor: Cursor, claim: Claim, runs_directory: Path) -> Entry | None:
    """Take the first queued entry for a worker, one that waits for no slot before others: queued → preparing, with a new run."""
    entry = next_for(cursor, claim)
    if entry is None:
        return None
    run_id = _insert(
        cursor,
        "runs",
        {
            "entry": entry.id,
            "attempt": entry.attempt,
            "token": claim.token,
            "worker": claim.worker,
            "pid": claim.pid,
            "start_ticks": claim.start_ticks,
            "boot_id": claim.boot_id,
            "log": "",
            "record": "",
            "worktree": _place_of(cursor, entry.submission),
            "claimed_at": claim.at,
        },
    )
    files = (str(runs_directory / f"{run_id}.log"), str(runs_directory / f"{run_id}.outcome"), run_id)
    cursor.execute("UPDATE runs SET log = ?, record = ? WHERE id = ?", files)
    _change_state(cursor, entry, EntryState.PREPARING, claim.at)
    return _read_back(cursor, entry.id)


def _place_of(cursor: Cursor, submission: Submission) -> str:
    """Choose where to run: the workspace itself, or a slot of the repository."""
    if submission.mode is Mode.WORKSPACE:
        return submission.workspace
    return _free_worktree(cursor, submission.git_directory)


def _free_worktree(cursor: Cursor, git_directory: str) -> str:
    """Choose the lowest numbered slot of the repository that no living run uses."""
    used = {row["worktree"] for row in cursor.execute("SELECT worktree FROM runs WHERE ended_at IS NULL")}
    slots = (f"{git_directory}/expd/worktrees/{number}" for number in range(len(used) + 1))
    return next(slot for slot in slots if slot not in used)


def start_run(cursor: Cursor, run: RunId, at: float) -> Entry:
    """preparing → running; a later stage of the same run changes nothing."""
    entry = _entry_of_run(cursor, run)
    if entry.state is not EntryState.PREPARING:
        return entry
    cursor.execute("UPDATE runs SET started_at = ? WHERE id = ?", (at, run))
    _change_state(cursor, entry, EntryState.RUNNING, at)
    return _read_back(cursor, entry.id)


def move_run(cursor: Cursor, run: RunId, state: EntryState, at: float) -> Entry:
    """Pass a run's entry to another state."""
    entry = _entry_of_run(cursor, run)
    cursor.execute("UPDATE runs SET started_at = coalesce(started_at, ?) WHERE id = ?", (at, run))
    _change_state(cursor, entry, state, at)
    return _read_back(cursor, entry.id)


def finish_run(cursor: Cursor, run: RunId, end: RunEnd) -> Finished:
    """End a run and its entry with one outcome, and with them what waits of a sweep that has failed often enough."""
    entry = _entry_of_run(cursor, run)
    context = None if end.context is None else context_to_json(end.context)
    is_noted = end.is_noted or not isinstance(end.outcome, Succeeded)  # what is no commit gets no note
    progress = None if end.progress is None else json.dumps(to_map(end.progress))
    values = (end.at, outcome_to_json(end.outcome), context, progress, int(is_noted), run)
    sql = "UPDATE runs SET ended_at = ?, outcome = ?, context = ?, progress = ?, noted = ? WHERE id = ?"
    cursor.execute(sql, values)
    end_entry(cursor, entry, end.outcome, end.at)
    stopped = _stop_sweep(cursor, entry, end.at)
    return Finished(entry=_read_back(cursor, entry.id), stopped=stopped)


def _stop_sweep(cursor: Cursor, entry: Entry, at: float) -> list[EntryId]:
    """End the points that wait beside one that has just ended, if that is wanted; gives them."""
    limit = entry.submission.max_failures
    if limit is None:
        return []
    kinds = (
        "SELECT outcome_kind, count(*) AS n FROM entries WHERE submission = ? AND state = 'done' GROUP BY outcome_kind"
    )
    rows = cursor.execute(kinds, (entry.submission_id,))
    reason = reason_to_stop(limit, {row["outcome_kind"]: int(row["n"]) for row in rows})
    if reason is None:
        return []
    waiting = "SELECT id FROM entries WHERE submission = ? AND state IN ('held', 'queued') ORDER BY id"
    stopped = [EntryId(row["id"]) for row in cursor.execute(waiting, (entry.submission_id,)).fetchall()]
    for point in stopped:
        cancel_entry(cursor, point, reason, at)
    return stopped


def end_entry(cursor: Cursor, entry: Entry, outcome: Outcome, at: float) -> None:
    """Pass an entry to done with this outcome; raises WrongState if it is not in the state in which it was read."""
    """Pass an entry to done with this outcome; raises WrongState if it is not in the state in which it was read."""
    values = (EntryState.DONE, outcome.kind, outcome_to_json(outcome), at, entry.id, entry.state)
    sql = "UPDATE entries SET state = ?, outcome_kind = ?, outcome = ?, ended_at = ? WHERE id = ? AND state = ?"
    _change_one(cursor, sql, values, entry)
    _note_transition(cursor, entry.id, entry.state, EntryState.DONE, at)
    _wipe_environment(cursor, entry.submission_id)


def _wipe_environment(cursor: Cursor, submission_id: int) -> None:
    """Forget the environment once every entry of the submission has succeeded: nothing will run with it again."""
    sql = """DELETE FROM environments WHERE submission = ? AND NOT EXISTS (
        SELECT 1 FROM entries WHERE submission = ? AND outcome_kind IS NOT 'succeeded')"""
    cursor.execute(sql, (submission_id, submission_id))


def cancel_entry(cursor: Cursor, entry_id: EntryId, reason: str, at: float) -> Entry:
    """End an entry that waits; for an active one note the wish, which its worker is told."""
    entry = _read_back(cursor, entry_id)
    if entry.state in {EntryState.HELD, EntryState.QUEUED}:
        end_entry(cursor, entry, Cancelled(reason=reason, at=at), at)
    elif entry.state is not EntryState.DONE and entry.run is not None:
        sql = "UPDATE runs SET cancel_reason = ?, cancel_at = ? WHERE id = ? AND cancel_reason IS NULL"
        cursor.execute(sql, (reason, at, entry.run.id))
    return _read_back(cursor, entry_id)


def release_entry(cursor: Cursor, entry_id: EntryId, at: float) -> Entry:
    """held → queued; raises WrongState for any other state."""
    entry = _read_back(cursor, entry_id)
    if entry.state is not EntryState.HELD:
        raise WrongState(entry.id, entry.state)
    _change_state(cursor, entry, EntryState.QUEUED, at)
    return _read_back(cursor, entry_id)


def retry_entry(cursor: Cursor, entry_id: EntryId, environment: bytes | None, at: float) -> Entry:
    """done → queued, as another attempt in a worktree; raises NameTaken if a living entry has its name by now.

    A run in the workspace is not repeated there: what it found is there no more.
    `environment` is what it runs with where its own was wiped, since it had succeeded.
    """
    entry = _read_back(cursor, entry_id)
    if entry.state is not EntryState.DONE:
        raise WrongState(entry.id, entry.state)
    holder = _living_holder(cursor, entry.submission, entry.name)
    if holder is not None:
        raise NameTaken(entry.name, holder.id)
    sql = """UPDATE entries SET state = 'queued', mode = 'queue', workspace = NULL, attempt = attempt + 1, outcome_kind = NULL, outcome = NULL, ended_at = NULL
        WHERE id = ? AND state = ?"""
    _change_one(cursor, sql, (entry.id, entry.state), entry)
    _note_transition(cursor, entry.id, entry.state, EntryState.QUEUED, at)
    if environment is not None:
        sql = "INSERT OR IGNORE INTO environments (submission, variables) VALUES (?, ?)"
        cursor.execute(sql, (entry.submission_id, environment))
    return _read_back(cursor, entry_id)


def rename_entry(cursor: Cursor, entry_id: EntryId, name: str) -> None:
    """Give an entry another name; raises NameTaken."""
    try:
        cursor.execute("UPDATE entries SET name = ? WHERE id = ?", (name, entry_id))
    except IntegrityError as error:
        holder = _living_holder(cursor, _read_back(cursor, entry_id).submission, name)
        raise NameTaken(name, entry_id if holder is None else holder.id) from error


def read_pool(cursor: Cursor) -> PoolState:
    """Read the pool's settings and count what it works on."""
    settings = cursor.execute("SELECT jobs, paused FROM pool").fetchone()
    sql = (
        "SELECT state, mode = 'queue' AS waits, count(*) AS n FROM entries WHERE state <> 'done' GROUP BY state, waits"
    )
    counts = {(row["state"], bool(row["waits"])): int(row["n"]) for row in cursor.execute(sql)}
    return PoolState(
        jobs=settings["jobs"],
        paused=bool(settings["paused"]),
        running=sum(counts.get((state, True), 0) for state in ACTIVE),
        queued=counts.get(("queued", True), 0),
        immediate=counts.get(("queued", False), 0),
        active=sum(counts.get((state, waits), 0) for state in ACTIVE for waits in (True, False)),
    )


def _entry_of_run(cursor: Cursor, run: RunId) -> Entry:
    entry = read_run_entry(cursor, run)
    assert entry is not None, f"run {run} has no entry"
    return entry


def _read_back(cursor: Cursor, entry_id: EntryId) -> Entry:
    entry = read_entry(cursor, entry_id)
    assert entry is not None, f"entry {entry_id} is gone"
    return entry


def _change_state(cursor: Cursor, entry: Entry, state: EntryState, at: float) -> None:
    sql = "UPDATE entries SET state = ? WHERE id = ? AND state = ?"
    _change_one(cursor, sql, (state, entry.id, entry.state), entry)
    _note_transition(cursor, entry.id, entry.state, state, at)


def _change_one(cursor: Cursor, sql: str, values: Sequence[object], entry: Entry) -> None:
    try:
        changed = cursor.execute(sql, tuple(values)).rowcount
    except IntegrityError as error:
        raise WrongState(entry.id, entry.state) from error
    if changed != 1:
        raise WrongState(entry.id, entry.state)


def _note_transition(cursor: Cursor, entry: EntryId, before: EntryState | None, after: EntryState, at: float) -> None:
    _insert(cursor, "transitions", {"entry": entry, "at": at, "state_before": before, "state_after": after})


def _insert(cursor: Cursor, table: str, columns: Mapping[str, object]) -> int:
    names = ", ".join(columns)
    marks = ", ".join("?" for _ in columns)
    inserted = cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values())).lastrowid  # noqa: S608 - names are literals above
    assert inserted is not None
    return inserted
