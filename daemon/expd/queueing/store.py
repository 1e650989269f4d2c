"""The queue on disk: one method a question, one method a transition, each durable when it returns.

A transition names the state it starts from; an entry that is elsewhere makes it raise WrongState and change nothing.
Bells ring after the commit, never before.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from expd.queueing.acceptance import accept, check_workspace, entries_of_request
from expd.queueing.database import Cursor, Database
from expd.queueing.dependents import dependents_of
from expd.queueing.editing import AS_IT_WAS, Edit, edit_entry
from expd.queueing.ends import RunEnd, finish_run, resume_entry, retry_entry
from expd.queueing.entry import Attempt, Entry, NewEntry, Submission, Unfinished, Unnoted
from expd.queueing.keeping import give_up_entry, set_entry_aside
from expd.queueing.removal import Removed, remove_entry
from expd.queueing.retention import (
    read_newest_at,
)
from expd.queueing.rows import (
    SELECT_ATTEMPT,
    SELECT_ENTRY,
    attempt_from_row,
    entry_from_row,
    read_context,
    read_entry,
    read_entry_in_attempt,
    read_environment,
    read_run_entry,
    read_stage_seconds,
    read_state_before_end,
    read_unfinished,
    read_unnoted,
)
from expd.queueing.transitions import (
    Claim,
    cancel_entry,
    claim_next,
    collect_run,
    next_for,
    release_entry,
    rename_entry,
    start_run,
)
from expd.queueing.upkeepstore import UpkeepStore
from expproto.context import Context
from expproto.progress import RunProgress
from expproto.vocabulary import EntryId, EntryState, Outcome, Rev, RunId

T = TypeVar("T")


class Store(UpkeepStore):
    """The queue; `runs_directory` is where the logs and outcome records of runs are."""

    def __init__(self, database: Database, runs_directory: Path) -> None:
        super().__init__(database)
        self.runs_directory = runs_directory
        self._name: str | None = None
        database.troubled = self.changes.announce

    @property
    def trouble(self) -> str | None:
        """Say why the last write failed; None once one has succeeded."""
        return self._database.trouble

    async def probe(self) -> None:
        """Write something that changes nothing; raises StoreFailed. What is the same SQLite does not write, so it is two steps."""

        def there_and_back(cursor: Cursor) -> None:
            cursor.execute("UPDATE groups SET jobs = jobs + 1")
            cursor.execute("UPDATE groups SET jobs = jobs - 1")

        await self._database.run(there_and_back)

    async def accept(self, submission: Submission, entries: Sequence[NewEntry]) -> list[Entry]:
        """Queue a submission and give its entries; the same request id again gives the same entries.

        Raises NameTaken. With `force`, entries of these names that still wait are cancelled in favour of these.
        """
        accepted = await self._database.run(lambda cursor: accept(cursor, submission, entries))
        self.changes.announce(*(entry.id for entry in accepted.entries), *accepted.replaced)
        return accepted.entries

    async def accepted_before(self, request_id: str) -> list[Entry]:
        """Give the entries of an earlier submission with this request id, or none."""
        return await self._database.run(lambda cursor: entries_of_request(cursor, request_id))

    async def edited_by(self, request_id: str) -> list[Entry]:
        """Give the entries that a request has given other parameters, and none has since."""
        return await self._read_all("WHERE entries.edited_by = ? ORDER BY entries.id", (request_id,))

    async def peek(self, claim: Claim) -> Entry | None:
        """Give the entry that a claim would get."""
        return await self._database.run(lambda cursor: next_for(cursor, claim))

    async def claim(self, claim: Claim) -> Entry | None:
        """Give the next queued entry to a worker, with its environment: queued → preparing, with a new run; None if none is queued.

        Raises RoomUnknown.
        """
        entry = await self._database.run(lambda cursor: claim_next(cursor, claim, self.runs_directory))
        if entry is not None:
            self.changes.announce_claim(entry.id)
        return entry

    async def start(self, run: RunId, at: float, token: str | None = None) -> Entry:
        """Record that the first command is about to run: preparing → running; a later stage changes nothing.

        Raises WrongState if this is said under a `token` that is not the run's.
        """
        return await self._gone_on(lambda cursor: start_run(cursor, run, at, token))

    async def collect(self, run: RunId, at: float, token: str | None = None) -> Entry:
        """Record that the commands are through: preparing or running → collecting; told twice it is recorded once.

        Raises WrongState if this is said under a `token` that is not the run's.
        """
        return await self._gone_on(lambda cursor: collect_run(cursor, run, at, token))

    async def finish(
        self,
        run: RunId,
        outcome: Outcome,
        at: float,
        context: Context | None = None,
        *,
        progress: RunProgress | None = None,
        is_noted: bool = False,
    ) -> Entry:
        """Record how a run ended, in what it took place, and whether its result has a note of that.

        Any active state → done; or, where another attempt follows, queued or held.
        """
        end = RunEnd(outcome=outcome, at=at, context=context, progress=progress, is_noted=is_noted)
        finished = await self._run_and_tell(
            lambda cursor: finish_run(cursor, run, end), lambda finished: [finished.entry.id, *finished.stopped]
        )
        return finished.entry

    async def rename(self, entry: EntryId, name: str) -> None:
        """Give an entry another name; raises NameTaken."""
        await self._database.run(lambda cursor: rename_entry(cursor, entry, name))
        self.changes.announce(entry)

    async def release(self, entries: Sequence[EntryId], at: float) -> list[Entry]:
        """Let held entries run: held → queued, all of them or none."""
        released = await self._database.run(lambda cursor: [release_entry(cursor, entry, at) for entry in entries])
        self.changes.announce(*entries)
        return released

    async def retry(
        self, entries: Sequence[EntryId], environment: bytes | None, at: float, edit: Edit = AS_IT_WAS
    ) -> list[Entry]:
        """Let entries that are done run once more: done → queued, all of them or none; raises NameTaken, WrongState."""

        def retry(cursor: Cursor, entry: EntryId) -> Entry:
            retried = retry_entry(cursor, entry, environment, at)
            return retried if edit == AS_IT_WAS else edit_entry(cursor, entry, edit)

        return await self._run_and_tell(lambda cursor: [retry(cursor, entry) for entry in entries], lambda _: entries)

    async def resume(self, runs: Mapping[EntryId, RunId], environment: bytes | None, at: float) -> list[Entry]:
        """Let each entry's next attempt go on in the worktree that a run of it left, all of them or none.

        Raises NameTaken, WrongState.
        """
        return await self._run_and_tell(
            lambda cursor: [resume_entry(cursor, entry, run, environment, at) for entry, run in runs.items()],
            lambda _resumed: list(runs),
        )

    async def runs_of(self, entry: EntryId) -> list[RunId]:
        """List the runs of an entry, oldest first."""
        sql = "SELECT id FROM runs WHERE entry = ? ORDER BY id"
        return await self._database.run(lambda cursor: [RunId(row["id"]) for row in cursor.execute(sql, (entry,))])

    async def remove(self, entries: Sequence[EntryId]) -> list[Removed]:
        """Take entries that are done off the queue, all of them or none; one that is not there is passed over."""
        found = await self._database.run(lambda cursor: [remove_entry(cursor, entry) for entry in entries])
        self.changes.announce()
        return [removed for removed in found if removed is not None]

    async def done_in(self, git_directory: str) -> list[Entry]:
        """Read the entries of a repository that are done."""
        where = "WHERE entries.git_directory = ? AND entries.state = 'done' ORDER BY entries.id"
        return await self._read_all(where, (git_directory,))

    async def cancel(
        self, entries: Sequence[EntryId], reason: str, at: float, number: int | None = None
    ) -> list[Entry]:
        """End what waits, and note for what is active that its end is wanted; what is done stays as it is."""
        return await self._run_and_tell(
            lambda cursor: [cancel_entry(cursor, entry, reason, at, number) for entry in entries],
            lambda _cancelled: entries,
        )

    async def entry(self, entry: EntryId) -> Entry | None:
        """Read one entry."""
        return await self._database.run(lambda cursor: read_entry(cursor, entry), is_passing=True)

    async def some(self, entries: Sequence[EntryId]) -> list[Entry]:
        """Read those of these entries that are there."""
        return await self._read_all("WHERE entries.id IN (SELECT value FROM json_each(?))", (json.dumps(entries),))

    async def entry_in_attempt(self, entry: EntryId, attempt: int) -> Entry | None:
        """Read an entry as it was at the end of one of its attempts; the present one as it is. None if that never ran."""
        return await self._database.run(lambda cursor: read_entry_in_attempt(cursor, entry, attempt))

    async def entry_of_run(self, run: RunId) -> Entry | None:
        """Read the entry whose present run this is."""
        return await self._database.run(lambda cursor: read_run_entry(cursor, run), is_passing=True)

    async def page(self, after: int, limit: int) -> list[Entry]:
        """Read entries in the order of their ids, from the first one above `after`."""
        where = "WHERE entries.id > ? ORDER BY entries.id LIMIT ?"
        return await self._read_all(where, (after, limit))

    async def check_workspace(self, workspace: str) -> None:
        """Raise WorkspaceBusy while a run has this workspace for itself."""
        await self._database.run(lambda cursor: check_workspace(cursor, workspace))

    async def named(self, name: str, git_directory: str | None) -> list[Entry]:
        """Find entries by name, newest first, in one repository or in all."""
        where = "WHERE entries.name = ? AND (? IS NULL OR entries.git_directory = ?) ORDER BY entries.id DESC"
        return await self._read_all(where, (name, git_directory, git_directory))

    async def of_submission(self, submission_id: int) -> list[Entry]:
        """Read the entries of one submission."""
        return await self._read_all("WHERE entries.submission = ? ORDER BY entries.id", (submission_id,))

    async def of_group(self, group: str) -> list[Entry]:
        """Read what is not done of a group."""
        return await self._read_all("WHERE entries.state <> 'done' AND entries.grp = ? ORDER BY entries.id", (group,))

    async def of_sweep(self, name: str, git_directory: str) -> list[Entry]:
        """Read the entries of the newest submission that was given this name, in one repository."""
        where = """WHERE entries.submission = (SELECT max(id) FROM submissions AS asked
            WHERE asked.name = ? AND asked.git_directory = ?) ORDER BY entries.id"""
        return await self._read_all(where, (name, git_directory))

    async def by_rev(self, prefix: str) -> list[Entry]:
        """Find entries by the beginning of their stash commit's or experiment's rev, newest first."""
        where = (
            "WHERE entries.stash_rev GLOB ? OR json_extract(entries.outcome, '$.rev') GLOB ? ORDER BY entries.id DESC"
        )
        return await self._read_all(where, (prefix + "*", prefix + "*"))

    async def unsuccessful(self, git_directory: str) -> list[Entry]:
        """List what is done in a repository without having succeeded, and has not been submitted anew under its name."""
        where = """WHERE entries.git_directory = ? AND entries.outcome_kind <> 'succeeded' AND NOT EXISTS (
            SELECT 1 FROM entries AS newer WHERE newer.git_directory = entries.git_directory AND newer.id > entries.id
            AND newer.baseline_rev = entries.baseline_rev AND newer.name = entries.name) ORDER BY entries.id"""
        return await self._read_all(where, (git_directory,))

    async def attempts(self, entry: EntryId) -> list[Attempt]:
        """Read how the runs of an entry went, first one first."""
        sql = f"{SELECT_ATTEMPT} ORDER BY attempt"
        return await self._database.run(lambda cursor: [attempt_from_row(row) for row in cursor.execute(sql, (entry,))])

    async def active(self) -> list[Entry]:
        """Read every entry that a run has and has not ended."""
        where = "WHERE entries.state IN ('preparing', 'running', 'collecting') ORDER BY entries.id"
        return await self._read_all(where, ())

    async def unfinished_ids(self) -> list[EntryId]:
        """List everything that is not done and not held."""
        sql = "SELECT id FROM entries WHERE state <> 'done' AND state <> 'held' ORDER BY id"
        return await self._database.run(lambda cursor: [EntryId(row["id"]) for row in cursor.execute(sql)])

    async def living_names(self, git_directory: str) -> set[str]:
        """List the names that entries of a repository hold: all that are not done."""
        sql = "SELECT name FROM entries WHERE git_directory = ? AND state <> 'done'"
        asked = (git_directory,)
        return await self._database.run(lambda cursor: {str(row["name"]) for row in cursor.execute(sql, asked)})

    async def is_living(self, git_directory: str, name: str) -> bool:
        """Tell whether an entry of a repository that is not done has this name."""
        sql = "SELECT 1 FROM entries WHERE name = ? AND git_directory = ? AND state <> 'done'"
        asked = (name, git_directory)
        return await self._database.run(lambda cursor: cursor.execute(sql, asked).fetchone() is not None)

    async def results_of_baseline(self, git_directory: str, baseline_rev: Rev) -> dict[Rev, EntryId]:
        """Map the experiments that entries of a baseline made to those entries."""
        sql = """SELECT id, json_extract(outcome, '$.rev') AS rev FROM entries
            WHERE git_directory = ? AND baseline_rev = ? AND outcome_kind = 'succeeded' ORDER BY id"""

        def read(cursor: Cursor) -> dict[Rev, EntryId]:
            return {Rev(row["rev"]): EntryId(row["id"]) for row in cursor.execute(sql, (git_directory, baseline_rev))}

        return await self._database.run(read)

    async def unfinished(self, git_directory: str, baseline_rev: Rev) -> list[Unfinished]:
        """List what has run, or runs, under a baseline and has no result, by entry."""
        return await self._database.run(lambda cursor: read_unfinished(cursor, git_directory, baseline_rev))

    async def name(self) -> str:
        """Give the store's own name: eight hexadecimal digits."""
        if self._name is None:
            sql = "SELECT name FROM store"
            self._name = await self._database.run(lambda cursor: str(cursor.execute(sql).fetchone()["name"]))
        return self._name

    async def forget_repository(self, git_directory: str) -> None:
        """Forget one of them, unless there is a submission of it."""
        sql = "DELETE FROM repositories WHERE git_directory = ? AND git_directory NOT IN (SELECT git_directory FROM submissions)"
        await self._database.run(lambda cursor: cursor.execute(sql, (git_directory,)))

    async def is_over(self, held_as: str) -> bool:
        """Tell whether no entry of a submission is left that is not done."""
        sql = (
            "SELECT 1 FROM entries JOIN submissions ON submissions.id = entries.submission"
            " WHERE submissions.held_as = ? AND entries.state <> 'done' LIMIT 1"
        )
        return await self._database.run(lambda cursor: cursor.execute(sql, (held_as,)).fetchone() is None)

    async def give_up(self, entry: EntryId, reason: str, at: float) -> bool:
        """End an entry that waits, as refused; False if it waits no more."""
        return await self._told(entry, lambda cursor: give_up_entry(cursor, entry, reason, at))

    async def set_aside(self, entry: EntryId, reason: str, at: float) -> bool:
        """Hold an entry that is queued, and say why; False if it is queued no more."""
        return await self._told(entry, lambda cursor: set_entry_aside(cursor, entry, reason, at))

    async def newest_at(self, before: float) -> float | None:
        """Give the latest time of a submission or an end that is not after `before`."""
        return await self._database.run(lambda cursor: read_newest_at(cursor, before))

    async def environment(self, submission_id: int) -> bytes | None:
        """Read the environment of a submission; None once it was wiped."""
        return await self._database.run(lambda cursor: read_environment(cursor, submission_id))

    async def context(self, run: RunId) -> Mapping[str, object] | None:
        """Read in what a run took place; None if it has not ended, or vanished before it could tell."""
        return await self._database.run(lambda cursor: read_context(cursor, run))

    async def state_before_end(self, entry: EntryId, attempt: int) -> EntryState | None:
        """Read in which state an attempt of an entry ended; None if it has not."""
        return await self._database.run(lambda cursor: read_state_before_end(cursor, entry, attempt))

    async def stage_seconds(self, run: RunId, stage: str, command_hash: str) -> list[float]:
        """List how long a stage took with the same command in the newest runs of the same repository."""
        return await self._database.run(lambda cursor: read_stage_seconds(cursor, run, stage, command_hash))

    async def unnoted(self) -> list[Unnoted]:
        """List the contexts of results that are no notes yet, oldest first, up to a limit."""
        return await self._database.run(read_unnoted)

    async def set_noted(self, runs: Sequence[RunId]) -> None:
        """Record that the contexts of these runs' results are notes now; forgotten, they are written again and nothing changes."""
        sql = "UPDATE runs SET noted = 1 WHERE id IN (SELECT value FROM json_each(?))"
        await self._database.run(lambda cursor: cursor.execute(sql, (json.dumps(runs),)), is_passing=True)

    async def _read_all(self, where: str, values: Sequence[object]) -> list[Entry]:
        return await self._database.run(
            lambda cursor: [entry_from_row(row) for row in cursor.execute(f"{SELECT_ENTRY} {where}", tuple(values))]
        )

    async def _told(self, entry: EntryId, work: Callable[[Cursor], bool]) -> bool:
        return await self._run_and_tell(work, lambda changed: [entry] if changed else [])

    async def _gone_on(self, work: Callable[[Cursor], Entry]) -> Entry:
        """Record where a run is. Its worker does not outlive a power cut, after which it is lost wherever it was."""
        entry = await self._database.run(work, is_passing=True)
        self.changes.announce(entry.id, is_under_way=True)
        return entry

    async def _run_and_tell(self, work: Callable[[Cursor], T], told: Callable[[T], Sequence[EntryId]]) -> T:
        """Do something, and ring for what it changed and for what waits for that: it may have been let go or skipped."""

        def both(cursor: Cursor) -> tuple[T, list[EntryId]]:
            result = work(cursor)
            changed = told(result)
            return result, [*changed, *dependents_of(cursor, changed)]

        result, changed = await self._database.run(both)
        self.changes.announce(*changed)
        return result
