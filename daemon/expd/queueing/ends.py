"""How runs end, and what follows: in one transaction, so that nobody ever sees the one without the other."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from expd.queueing.database import Cursor
from expd.queueing.dependents import count_blocked, set_all_met, skipped_for
from expd.queueing.entry import Entry, context_to_json, outcome_to_json
from expd.queueing.failures import reason_to_stop
from expd.queueing.retrying import Again, End, Hold, Tries, what_follows
from expd.queueing.transitions import cancel_entry
from expd.queueing.writing import (
    NameTaken,
    WrongState,
    change_state,
    end_entry,
    entry_of_run,
    living_holder,
    look_at_needs,
    read_back,
)
from expproto.context import Context
from expproto.fields import to_map
from expproto.progress import RunProgress
from expproto.vocabulary import EntryId, EntryState, Mode, Outcome, RunId, Succeeded

_FRESH: Mapping[str, object] = {"retries_used": 0, "losses": 0, "not_before": None, "hold_reason": None}
"""What an entry has behind it that somebody has just asked to be run."""
_NOT_ENDED: Mapping[str, object] = {
    "mode": Mode.QUEUE, "at_once": 0, "blocked": 0, "workspace": None, "outcome_kind": None, "outcome": None, "ended_at": None,
}  # fmt: skip
"""What an entry that was done is then, wherever it ran before: its turn comes in the queue, in a worktree."""


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
    """An entry whose run has ended, as it is now, and the points of its sweep that were ended because of it."""

    entry: Entry
    stopped: list[EntryId]


def finish_run(cursor: Cursor, run: RunId, end: RunEnd) -> Finished:
    """End a run with one outcome, and its entry with it unless the run is followed by another or a hold.

    With the entry ends what waits of a sweep that has failed often enough.
    """
    entry = entry_of_run(cursor, run)
    context = None if end.context is None else context_to_json(end.context)
    is_noted = end.is_noted or not isinstance(end.outcome, Succeeded)  # what is no commit gets no note
    progress = None if end.progress is None else json.dumps(to_map(end.progress))
    values = (end.at, outcome_to_json(end.outcome), context, progress, int(is_noted), run)
    sql = "UPDATE runs SET ended_at = ?, outcome = ?, context = ?, progress = ?, noted = ? WHERE id = ?"
    cursor.execute(sql, values)
    stopped = _follow_up(cursor, entry, end.outcome, end.at)
    return Finished(entry=read_back(cursor, entry.id), stopped=stopped)


def _follow_up(cursor: Cursor, entry: Entry, outcome: Outcome, at: float) -> list[EntryId]:
    """Carry out what follows the end of a run; gives the points of its sweep that are ended because of it."""
    submission = entry.submission
    is_unwanted = entry.run is not None and entry.run.cancel_reason is not None
    follows = End() if is_unwanted else what_follows(outcome, submission.retries, entry.tries, submission.mode, at)
    match follows:
        case Again(at=not_before, tries=tries):
            _try_again(cursor, entry, EntryState.QUEUED, at, {"not_before": not_before, **_columns(tries)})
        case Hold(reason=reason, tries=tries):
            _try_again(cursor, entry, EntryState.HELD, at, {"hold_reason": reason, **_columns(tries)})
        case End():
            end_entry(cursor, entry, outcome, at)
            return _stop_sweep(cursor, entry, at)
    return []


def _try_again(cursor: Cursor, entry: Entry, state: EntryState, at: float, columns: Mapping[str, object]) -> None:
    """Let an entry wait for its next attempt."""
    change_state(cursor, entry, state, at, {"attempt": entry.attempt + 1, "resumes": None, **columns})


def _columns(tries: Tries) -> Mapping[str, object]:
    return {"retries_used": tries.retries_used, "losses": tries.losses}


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


def resume_entry(cursor: Cursor, entry_id: EntryId, run: RunId, environment: bytes | None, at: float) -> Entry:
    """done → queued, or what waits for its next attempt → queued: that one goes on in the worktree that `run` left.

    Raises NameTaken, and WrongState for what is active, or waits for its first attempt.
    """
    entry = read_back(cursor, entry_id)
    if entry.state is EntryState.DONE:
        _check_name(cursor, entry)
        _try_again(cursor, entry, EntryState.QUEUED, at, {**_NOT_ENDED, **_FRESH, "resumes": run})
        set_all_met(cursor, entry.id)
        _revive(cursor, entry.id, at)
    elif entry.state in {EntryState.HELD, EntryState.QUEUED} and entry.attempt > 1:
        if entry.state is EntryState.HELD:
            change_state(cursor, entry, EntryState.QUEUED, at, _FRESH)
        sql = "UPDATE entries SET resumes = ?, not_before = NULL WHERE id = ?"
        cursor.execute(sql, (run, entry_id))
    else:
        raise WrongState(entry.id, entry.state)
    _give_environment(cursor, entry, environment)
    return read_back(cursor, entry_id)


def retry_entry(cursor: Cursor, entry_id: EntryId, environment: bytes | None, at: float) -> Entry:
    """done → queued, as another attempt in a worktree; raises NameTaken if a living entry has its name by now.

    One that waits for the time of its next attempt waits for it no more; one that is held before it is released.
    A run in the workspace is not repeated there: what it found is there no more.
    `environment` is what it runs with where its own was wiped, since it had succeeded.
    """
    entry = read_back(cursor, entry_id)
    if entry.state is EntryState.QUEUED and entry.attempt > 1:
        cursor.execute("UPDATE entries SET not_before = NULL WHERE id = ?", (entry_id,))
        return read_back(cursor, entry_id)
    if entry.state is EntryState.HELD and entry.attempt > 1:
        change_state(cursor, entry, EntryState.QUEUED, at, _FRESH)
        return read_back(cursor, entry_id)
    if entry.state is not EntryState.DONE:
        raise WrongState(entry.id, entry.state)
    _check_name(cursor, entry)
    _try_again(cursor, entry, EntryState.QUEUED, at, {**_NOT_ENDED, **_FRESH})
    set_all_met(cursor, entry.id)
    _revive(cursor, entry.id, at)
    _give_environment(cursor, entry, environment)
    return read_back(cursor, entry_id)


def _check_name(cursor: Cursor, entry: Entry) -> None:
    """Refuse to let an entry live again whose name a living one has."""
    holder = living_holder(cursor, entry.submission, entry.name)
    if holder is not None:
        raise NameTaken(entry.name, holder.id, holder.name)


def _give_environment(cursor: Cursor, entry: Entry, environment: bytes | None) -> None:
    """Let an entry run with this environment where its own is not kept any more."""
    if environment is not None:
        sql = "INSERT OR IGNORE INTO environments (submission, variables) VALUES (?, ?)"
        cursor.execute(sql, (entry.submission_id, environment))


def _revive(cursor: Cursor, needs: EntryId, at: float) -> None:
    """Let what was skipped because of an entry wait for it again, and what was skipped because of that in turn."""
    for dependent in skipped_for(cursor, needs):
        entry = read_back(cursor, dependent)
        if living_holder(cursor, entry.submission, entry.name) is None:
            _try_again(cursor, entry, EntryState.QUEUED, at, {**_NOT_ENDED, **_FRESH})
            count_blocked(cursor, dependent)
            look_at_needs(cursor, dependent, at)
            _revive(cursor, dependent, at)
