"""Rows ↔ records: SQL text for reading entries, and the parsing of what comes back."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from expd.queueing.database import Cursor, Row
from expd.queueing.entry import Attempt, Entry, Run, Submission, Unfinished, Unnoted, outcome_from_json
from expd.queueing.retrying import Tries
from expproto.fields import from_map
from expproto.limits import RunLimits
from expproto.place import QueuePlace
from expproto.progress import RunProgress
from expproto.retries import RetryPolicy
from expproto.stage_options import StageOptions
from expproto.vocabulary import EntryId, EntryState, Mode, Rev, RunId

_ESTIMATE_RUNS = 30
"""Newest runs of a repository that are looked at for an estimate, once a stage."""
_ESTIMATE_REACH = 2000
"""Among so many newest runs of all repositories: a store of a hundred thousand is not gone through."""
_UNNOTED_MAX = 1000
"""Notes that one start of a daemon makes up for; the next start goes on."""

_OPTIONS_REMEMBERED = 128
"""Every row of a sweep says the same, and most sweeps do."""

SELECT_ENTRY = """
SELECT entries.id, entries.submission, entries.name, entries.stash_rev, entries.params, entries.attempt AS entry_attempt,
       entries.state, entries.outcome, entries.ended_at, submissions.request_id, submissions.held_as, submissions.git_directory, submissions.workspace, submissions.root,
       submissions.directory, submissions.cache, submissions.baseline_rev, submissions.message, submissions.command,
       submissions.targets, submissions.force, submissions.stage_options, coalesce(entries.limits, submissions.limits) AS limits, submissions.max_failures, submissions.umask, submissions.submitted_at,
       submissions.copies, submissions.as_stage, submissions.engine, submissions.engine_queue, submissions.pushes_data, entries.mode, submissions.captured_tree, submissions.verifies, submissions.name AS asked_name,
       runs.id AS run_id, runs.attempt, runs.token, runs.worker, runs.pid, runs.start_ticks, runs.boot_id, runs.log,
       runs.record, runs.worktree, runs.cancel_reason, runs.cancel_at, runs.cancel_signal, runs.frozen_at, runs.started_at, runs.ended_at AS run_ended_at,
       runs.progress, coalesce(entries.retries, submissions.retries) AS retries, entries.retries_used, entries.losses, entries.not_before, entries.hold_reason, entries.resumes, entries.priority, entries.grp, entries.at_once,
       (SELECT json_group_array(needs) FROM dependencies WHERE entry = entries.id AND met = 0) AS needs,
       earlier.outcome AS earlier_outcome
FROM entries
JOIN submissions ON submissions.id = entries.submission
LEFT JOIN runs ON runs.entry = entries.id AND runs.attempt = entries.attempt
LEFT JOIN runs AS earlier ON earlier.entry = entries.id AND earlier.attempt = entries.attempt - 1
"""
SELECT_ATTEMPT = "SELECT attempt, log, started_at, ended_at, outcome FROM runs WHERE entry = ?"


def read_entry(cursor: Cursor, entry: EntryId) -> Entry | None:
    """Read one entry by its id."""
    row = cursor.execute(f"{SELECT_ENTRY} WHERE entries.id = ?", (entry,)).fetchone()
    return None if row is None else entry_from_row(row)


def read_entry_in_attempt(cursor: Cursor, entry: EntryId, attempt: int) -> Entry | None:
    """Read an entry as it was at the end of one of its attempts; the present one as it is. None if that never ran."""
    now = read_entry(cursor, entry)
    if now is None or now.attempt == attempt:
        return now
    sql = """SELECT runs.*, runs.id AS run_id, runs.ended_at AS run_ended_at, earlier.outcome AS earlier_outcome
        FROM runs LEFT JOIN runs AS earlier ON earlier.entry = runs.entry AND earlier.attempt = runs.attempt - 1
        WHERE runs.entry = ? AND runs.attempt = ? AND runs.outcome IS NOT NULL"""
    row = cursor.execute(sql, (entry, attempt)).fetchone()
    if row is None:
        return None
    return replace(
        now,
        attempt=attempt,
        state=EntryState.DONE,
        outcome=outcome_from_json(row["outcome"]),
        ended_at=row["ended_at"],
        run=_run_from_row(row),
        not_before=None,
        hold_reason=None,
        earlier_outcome=None if row["earlier_outcome"] is None else outcome_from_json(row["earlier_outcome"]),
    )


def read_run_entry(cursor: Cursor, run: RunId) -> Entry | None:
    """Read the entry whose present run this is."""
    row = cursor.execute(f"{SELECT_ENTRY} WHERE runs.id = ?", (run,)).fetchone()
    return None if row is None else entry_from_row(row)


def read_environment(cursor: Cursor, submission_id: int) -> bytes | None:
    """Read the environment of a submission; None once it was wiped."""
    row = cursor.execute("SELECT variables FROM environments WHERE submission = ?", (submission_id,)).fetchone()
    return None if row is None else bytes(row["variables"])


def read_context(cursor: Cursor, run: RunId) -> Mapping[str, object] | None:
    """Read the context of a run, as its map form."""
    row = cursor.execute("SELECT context FROM runs WHERE id = ?", (run,)).fetchone()
    return None if row is None or row["context"] is None else _params(row["context"])


def read_state_before_end(cursor: Cursor, entry: EntryId, attempt: int) -> EntryState | None:
    """Read in which state an attempt of an entry ended; None if it has not."""
    sql = """SELECT state_before FROM transitions WHERE entry = ? AND attempt = ? AND state_before IS NOT NULL
        AND (state_after = 'done' OR (state_after IN ('queued', 'held') AND state_before NOT IN ('queued', 'held', 'done')))
        ORDER BY id DESC LIMIT 1"""
    row = cursor.execute(sql, (entry, attempt)).fetchone()
    return None if row is None else EntryState(row["state_before"])


def read_unnoted(cursor: Cursor) -> list[Unnoted]:
    """Read the contexts of results that are no notes yet."""
    sql = """SELECT runs.id, runs.context, json_extract(runs.outcome, '$.rev') AS rev, entries.git_directory
        FROM runs JOIN entries ON entries.id = runs.entry
        WHERE runs.noted = 0 AND runs.context IS NOT NULL
        ORDER BY runs.id LIMIT ?"""
    return [
        Unnoted(
            run=RunId(row["id"]),
            git_directory=row["git_directory"],
            rev=Rev(row["rev"]),
            context=_params(row["context"]),
        )
        for row in cursor.execute(sql, (_UNNOTED_MAX,))
    ]


def read_unfinished(cursor: Cursor, git_directory: str, baseline_rev: Rev) -> list[Unfinished]:
    """Read what has run, or runs, under a baseline and has no result; verifications never have one."""
    sql = """SELECT entries.id, runs.id AS run, entries.name, entries.params, entries.outcome, runs.progress,
               coalesce(entries.ended_at, runs.started_at, submissions.submitted_at) AS at
        FROM entries
        JOIN submissions ON submissions.id = entries.submission
        JOIN runs ON runs.entry = entries.id AND runs.attempt = entries.attempt
        WHERE entries.git_directory = ? AND entries.baseline_rev = ? AND submissions.verifies IS NULL
              AND (entries.state IN ('preparing', 'running', 'collecting')
                   OR (entries.outcome_kind <> 'succeeded' AND runs.progress IS NOT NULL))
        ORDER BY entries.id"""
    return [
        Unfinished(
            entry=EntryId(row["id"]),
            run=RunId(row["run"]),
            name=row["name"],
            params=_params(row["params"]),
            outcome=None if row["outcome"] is None else outcome_from_json(row["outcome"]),
            at=row["at"],
            progress=_progress(row["progress"]),
        )
        for row in cursor.execute(sql, (git_directory, baseline_rev))
    ]


def read_stage_seconds(cursor: Cursor, run: RunId, stage: str, command_hash: str) -> list[float]:
    """Read how long a stage took where it ran to its good end, in the newest runs of the repository of this one."""
    sql = """SELECT json_extract(stage.value, '$.seconds') AS seconds
        FROM (SELECT runs.context FROM runs JOIN entries ON entries.id = runs.entry
              WHERE runs.id > (SELECT max(id) FROM runs) - ? AND runs.context IS NOT NULL AND entries.git_directory =
                  (SELECT git_directory FROM entries JOIN runs ON runs.entry = entries.id WHERE runs.id = ?)
              ORDER BY runs.id DESC LIMIT ?) AS newest, json_each(newest.context, '$.stages') AS stage
        WHERE json_extract(stage.value, '$.name') = ? AND json_extract(stage.value, '$.command_hash') = ?
              AND json_extract(stage.value, '$.exit_code') = 0"""
    rows = cursor.execute(sql, (_ESTIMATE_REACH, run, _ESTIMATE_RUNS, stage, command_hash))
    return [float(row["seconds"]) for row in rows]


def entry_from_row(row: Row) -> Entry:
    """Turn a row of SELECT_ENTRY into an entry."""
    return Entry(
        id=EntryId(row["id"]),
        submission_id=row["submission"],
        name=row["name"],
        stash_rev=Rev(row["stash_rev"]),
        params=_params(row["params"]),
        attempt=row["entry_attempt"],
        state=EntryState(row["state"]),
        outcome=None if row["outcome"] is None else outcome_from_json(row["outcome"]),
        ended_at=row["ended_at"],
        submission=_submission_from_row(row),
        run=None if row["run_id"] is None else _run_from_row(row),
        tries=Tries(retries_used=row["retries_used"], losses=row["losses"]),
        not_before=row["not_before"],
        place=QueuePlace(priority=row["priority"], group=row["grp"]),
        waits_for=tuple(EntryId(needs) for needs in json.loads(row["needs"])),
        is_at_once=bool(row["at_once"]),
        hold_reason=row["hold_reason"],
        resumes=None if row["resumes"] is None else RunId(row["resumes"]),
        earlier_outcome=None if row["earlier_outcome"] is None else outcome_from_json(row["earlier_outcome"]),
    )


def attempt_from_row(row: Row) -> Attempt:
    """Turn a row of SELECT_ATTEMPT into an attempt."""
    return Attempt(
        number=row["attempt"],
        log=row["log"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        outcome=None if row["outcome"] is None else outcome_from_json(row["outcome"]),
    )


def _submission_from_row(row: Row) -> Submission:
    return Submission(
        request_id=row["request_id"],
        held_as=row["held_as"],
        git_directory=row["git_directory"],
        workspace=row["workspace"],
        root=row["root"],
        directory=row["directory"],
        cache=row["cache"],
        baseline_rev=Rev(row["baseline_rev"]),
        message=row["message"],
        command=None if row["command"] is None else tuple(json.loads(row["command"])),
        targets=tuple(json.loads(row["targets"])),
        force=bool(row["force"]),
        stage_options=_stage_options(row["stage_options"]),
        limits=_limits(row["limits"]),
        retries=_retries(row["retries"]),
        max_failures=row["max_failures"],
        umask=row["umask"],
        environment=b"",
        submitted_at=row["submitted_at"],
        copies=row["copies"],
        as_stage=bool(row["as_stage"]),
        mode=Mode(row["mode"]),
        engine=row["engine"],
        engine_queue=row["engine_queue"],
        pushes_data=bool(row["pushes_data"]),
        captured_tree=Rev(row["captured_tree"]),
        name=row["asked_name"],
        verifies=None if row["verifies"] is None else Rev(row["verifies"]),
    )


@lru_cache(maxsize=_OPTIONS_REMEMBERED)
def _stage_options(text: str) -> StageOptions:
    return from_map(StageOptions, json.loads(text))


@lru_cache(maxsize=_OPTIONS_REMEMBERED)
def _limits(text: str) -> RunLimits:
    return from_map(RunLimits, json.loads(text))


@lru_cache(maxsize=_OPTIONS_REMEMBERED)
def _retries(text: str) -> RetryPolicy:
    return from_map(RetryPolicy, json.loads(text))


def _run_from_row(row: Row) -> Run:
    return Run(
        id=RunId(row["run_id"]),
        attempt=row["attempt"],
        token=row["token"],
        worker=row["worker"],
        pid=row["pid"],
        start_ticks=row["start_ticks"],
        boot_id=row["boot_id"],
        log=row["log"],
        record=row["record"],
        worktree=row["worktree"],
        cancel_reason=row["cancel_reason"],
        cancel_at=row["cancel_at"],
        cancel_signal=row["cancel_signal"],
        frozen_at=row["frozen_at"],
        started_at=row["started_at"],
        ended_at=row["run_ended_at"],
        progress=_progress(row["progress"]),
    )


def _progress(text: str | None) -> RunProgress | None:
    return None if text is None else from_map(RunProgress, _params(text))


def _params(text: str) -> Mapping[str, object]:
    value: Mapping[str, object] = json.loads(text)
    return value
