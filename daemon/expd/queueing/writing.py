"""What every transition is written with: one row changed, and noted in the order of events; and what can be wrong."""

from collections.abc import Mapping, Sequence

from expd.queueing.database import Cursor, IntegrityError
from expd.queueing.dependents import Dependency, is_met, needs_of, reason_to_skip, set_met, waiting_for
from expd.queueing.entry import Entry, Submission, outcome_from_json, outcome_to_json
from expd.queueing.rows import SELECT_ENTRY, entry_from_row, read_entry, read_run_entry
from expproto.vocabulary import EntryId, EntryState, Outcome, RunId, Skipped


class NameTaken(Exception):
    """`name` belongs to the living entry `entry`; `as_held` is how that one spells it, where only its case differs."""

    def __init__(self, name: str, entry: EntryId, as_held: str | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.entry = entry
        self.as_held = None if as_held == name else as_held


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


class RunGone(Exception):
    """`run` was removed, and its entry with it."""

    def __init__(self, run: RunId) -> None:
        super().__init__(f"run {run} was removed")
        self.run = run


def read_back(cursor: Cursor, entry_id: EntryId) -> Entry:
    """Read an entry that is there."""
    entry = read_entry(cursor, entry_id)
    assert entry is not None, f"entry {entry_id} is gone"
    return entry


def entry_of_run(cursor: Cursor, run: RunId) -> Entry:
    """Read the entry whose present run this is; raises WrongState for a run that another attempt has followed, and RunGone."""
    entry = read_run_entry(cursor, run)
    if entry is not None:
        return entry
    sql = "SELECT entries.id, entries.state FROM runs JOIN entries ON entries.id = runs.entry WHERE runs.id = ?"
    row = cursor.execute(sql, (run,)).fetchone()
    if row is None:
        raise RunGone(run)
    raise WrongState(EntryId(row["id"]), row["state"])


def living_holder(cursor: Cursor, submission: Submission, name: str) -> Entry | None:
    """Find the entry that is not done and has this name, in whatever case, beside a submission's entries."""
    where = "entries.git_directory = ? AND entries.baseline_rev = ? AND entries.name = ? COLLATE NOCASE AND entries.state <> 'done'"
    values = (submission.git_directory, submission.baseline_rev, name)
    row = cursor.execute(f"{SELECT_ENTRY} WHERE {where}", values).fetchone()
    return None if row is None else entry_from_row(row)


def end_entry(cursor: Cursor, entry: Entry, outcome: Outcome, at: float) -> None:
    """Pass an entry to done, with one outcome."""
    columns = {
        "outcome_kind": outcome.kind,
        "outcome": outcome_to_json(outcome),
        "ended_at": at,
        "not_before": None,
        "hold_reason": None,
    }
    change_state(cursor, entry, EntryState.DONE, at, columns)
    _wipe_environment(cursor, entry.submission_id)
    for dependent, condition in waiting_for(cursor, entry.id):
        _let_go_or_skip(cursor, dependent, Dependency(needs=entry.id, condition=condition), outcome, at)


def look_at_needs(cursor: Cursor, entry: EntryId, at: float) -> None:
    """Let an entry wait no more for what has ended already; skip it if that ended otherwise than it was to."""
    for dependency, state, outcome in needs_of(cursor, entry):
        if state is EntryState.DONE and outcome is not None:
            _let_go_or_skip(cursor, entry, dependency, outcome_from_json(outcome), at)


def _let_go_or_skip(cursor: Cursor, entry_id: EntryId, dependency: Dependency, outcome: Outcome, at: float) -> None:
    if is_met(dependency.condition, outcome):
        set_met(cursor, entry_id, dependency.needs)
        return
    entry = read_back(cursor, entry_id)
    if entry.state is not EntryState.DONE:
        end_entry(cursor, entry, Skipped(reason=reason_to_skip(dependency.needs, dependency.condition)), at)


def _wipe_environment(cursor: Cursor, submission_id: int) -> None:
    """Forget the environment once every entry of the submission has succeeded: nothing will run with it again."""
    sql = """DELETE FROM environments WHERE submission = ? AND NOT EXISTS (
        SELECT 1 FROM entries WHERE submission = ? AND outcome_kind IS NOT 'succeeded')"""
    cursor.execute(sql, (submission_id, submission_id))


def change_state(
    cursor: Cursor, entry: Entry, state: EntryState, at: float, columns: Mapping[str, object] | None = None
) -> None:
    """Pass an entry from the state in which it was read to another, with these columns; raises WrongState."""
    changed = {"state": state, **(columns or {})}
    assignments = ", ".join(f"{name} = ?" for name in changed)
    sql = f"UPDATE entries SET {assignments} WHERE id = ? AND state = ?"  # noqa: S608 - names are literals
    _change_one(cursor, sql, (*changed.values(), entry.id, entry.state), entry)
    note_transition(cursor, entry.id, entry.attempt, (entry.state, state), at)


def _change_one(cursor: Cursor, sql: str, values: Sequence[object], entry: Entry) -> None:
    try:
        changed = cursor.execute(sql, tuple(values)).rowcount
    except IntegrityError as error:
        raise WrongState(entry.id, entry.state) from error
    if changed != 1:
        raise WrongState(entry.id, entry.state)


def note_transition(
    cursor: Cursor, entry: EntryId, attempt: int, change: tuple[EntryState | None, EntryState], at: float
) -> None:
    """Note what happened, in the order of events: the state before and after, and in which attempt."""
    before, after = change
    columns = {"entry": entry, "attempt": attempt, "at": at, "state_before": before, "state_after": after}
    insert(cursor, "transitions", columns)


def insert(cursor: Cursor, table: str, columns: Mapping[str, object]) -> int:
    """Insert a row, and give its id."""
    names = ", ".join(columns)
    marks = ", ".join("?" for _ in columns)
    inserted = cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values())).lastrowid  # noqa: S608 - names are literals
    assert inserted is not None
    return inserted
