"""Ended runs → their end in the store: first ref and note, then the row, then the worker's record may go.

Each is settled in a task of its own, so that one ref that is locked holds up nobody; and none is given up: a disk that
is full or a repository that is away is waited for, while the entry shows that it is collecting.
"""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeGuard, TypeVar

import trio

from expd.bell import Bell
from expd.collect.annotating import Annotator
from expd.collect.filing import Result, file_result
from expd.dispatch.host import Host
from expd.execute.kept import keep_aside
from expd.queueing.database import StoreFailed
from expd.queueing.entry import LOCAL, Entry, Run, Unnoted
from expd.queueing.recovery import outcome_of_loss
from expd.queueing.store import Store
from expd.queueing.writing import NameTaken, WrongState
from expproto.fields import to_map
from expproto.progress import RunProgress
from expproto.vocabulary import EntryState, Outcome, RunId, Succeeded
from expproto.work import RunEnded

_journal = logging.getLogger("expd.dispatch")

T = TypeVar("T")

_GIT_THREADS = 4
"""Refs set at once: each waits for the disk, and one repository's refs hardly ever wait for each other."""
_ENDED_MAX = 10_000
"""Runs that have ended and wait for a task: more than a pool can have."""
_NOTE_PATIENCE_SECONDS = 2.0
"""How long a result waits for the ref of notes, which all experiments of a repository share; its note may follow."""
_STORE_BACKOFF_SECONDS, _STORE_BACKOFF_MAX_SECONDS = 0.1, 5.0
"""Between two tries to write the store when the disk is full."""


def ids(entry: Entry) -> dict[str, int]:
    """Give what an event of the journal is about, as its fields."""
    return {"entry": entry.id} if entry.run is None else {"entry": entry.id, "run": entry.run.id}


def _nothing() -> None:
    """Do nothing meanwhile."""


async def insist(operation: Callable[[], Awaitable[T]], trying: Callable[[], None] = _nothing) -> T:
    """Write the store, as often as it takes: what a worker reported is true whether the disk is full or not.

    `trying` is called after each failure: whoever tries is alive.
    """
    backoff = _STORE_BACKOFF_SECONDS
    while True:
        try:
            return await operation()
        except StoreFailed as error:
            _journal.error("the store can't be written: %s; trying again", error.what)
            trying()
        await trio.sleep(backoff)
        backoff = min(2 * backoff, _STORE_BACKOFF_MAX_SECONDS)


def _note_of(entry: Entry, ended: RunEnded) -> Unnoted | None:
    """Give the note on a run's result; None if it has none."""
    if not isinstance(ended.outcome, Succeeded) or ended.context is None:
        return None
    git_directory = entry.submission.git_directory
    return Unnoted(run=ended.run, git_directory=git_directory, rev=ended.outcome.rev, context=to_map(ended.context))


def _is_wanted(entry: Entry | None, ended: RunEnded) -> TypeGuard[Entry]:
    """Tell whether a run that ended is its entry's present one, and was not given up."""
    if entry is None or entry.run is None or entry.state is EntryState.DONE:
        return False
    return entry.run.token == ended.run_token


class Settling:
    """`run` settles what `settle` hands it; `settled` rings after each."""

    def __init__(self, store: Store, settled: Bell, host: Host, kept_max: int) -> None:
        self._kept_max = kept_max
        self._store = store
        self._host = host
        self._settled = settled
        self._sending, self._receiving = trio.open_memory_channel[RunEnded](_ENDED_MAX)
        self._under_way: set[RunId] = set()
        self._obstacles: dict[RunId, str] = {}
        self._git = trio.CapacityLimiter(_GIT_THREADS)
        self._annotator = Annotator(self._git)
        self._late: dict[str, list[Unnoted]] = {}

    @property
    def is_idle(self) -> bool:
        """Tell whether everything that ended is settled."""
        return not self._under_way

    def obstacle(self, run: RunId) -> str | None:
        """Say what keeps a run from going on, or its result from being filed, if anything does."""
        return self._obstacles.get(run)

    def hinder(self, run: RunId, what: str | None) -> None:
        """Take note of what is in the way of a run that goes on by itself when it can; None: nothing is any more."""
        if what is None:
            self._obstacles.pop(run, None)
            return
        _journal.warning("run %s can't go on: %s", run, what)
        self._obstacles[run] = what

    def settle(self, ended: RunEnded) -> None:
        """Hand over a run that has ended; handing it over twice is once."""
        if ended.run not in self._under_way:
            self._under_way.add(ended.run)
            self._sending.send_nowait(ended)

    async def run(self) -> None:
        """Settle what is handed over, until cancelled."""
        async with trio.open_nursery() as nursery:
            for note in await insist(self._store.unnoted):
                nursery.start_soon(self._annotate_late, note)
            async for ended in self._receiving:
                nursery.start_soon(self._settle, ended)

    async def _settle(self, ended: RunEnded) -> None:
        late = None
        try:
            entry = await insist(lambda: self._store.entry_of_run(ended.run))
            if _is_wanted(entry, ended):
                late = await self._end(entry, ended)
            else:
                _journal.warning("the end of run %s, which was given up: passed over", ended.run)
        finally:
            self._obstacles.pop(ended.run, None)
            self._under_way.discard(ended.run)
            self._settled.ring()
        if late is not None:
            await self._annotate_late(late)
        if entry is not None:
            await self._annotator.look_again(Path(entry.submission.git_directory))

    async def _end(self, entry: Entry, ended: RunEnded) -> Unnoted | None:
        """Carry out the steps in order; after a crash between two, all are done again, and change nothing twice.

        Gives the note that is still to be written, if its ref was not free or notes wait to go together.
        """
        assert entry.run is not None
        run, note = entry.run, _note_of(entry, ended)
        is_noted = False

        async def annotate() -> None:
            nonlocal is_noted
            with trio.move_on_after(_NOTE_PATIENCE_SECONDS):
                is_noted = note is not None and await self._annotate(note)

        if isinstance(ended.outcome, Succeeded) and entry.submission.verifies is not None:
            await self.collect(entry)
        elif isinstance(ended.outcome, Succeeded):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._file, entry, ended.outcome)
                if not self._annotator.is_pacing(Path(entry.submission.git_directory)):
                    nursery.start_soon(annotate)
        await self.finish(entry, ended.outcome, ended, is_noted=is_noted)
        await trio.to_thread.run_sync(lambda: Path(run.record).unlink(missing_ok=True))
        return None if is_noted else note

    async def _annotate(self, *notes: Unnoted) -> bool:
        """Write notes of one repository."""
        contexts = {note.rev: note.context for note in notes}
        return await self._annotator.annotate(Path(notes[0].git_directory), contexts)

    async def _annotate_late(self, note: Unnoted) -> None:
        """Write a note that a result did not wait for, with those that come until it may be: its ref was locked, or they wait to
        go together, or an earlier daemon ended.
        """
        together = self._late.setdefault(note.git_directory, [])
        together.append(note)
        if len(together) > 1:  # whoever came first takes it along
            return
        await self._annotator.wait_pace(Path(note.git_directory))
        del self._late[note.git_directory]
        if await self._annotate(*together):
            await insist(lambda: self._store.set_noted([each.run for each in together]))

    async def _file(self, entry: Entry, outcome: Succeeded) -> None:
        """Set the experiment's ref; the entry takes the name that the result got."""
        await self.collect(entry)
        assert entry.run is not None
        before = await insist(lambda: self._store.attempts(entry.id)) if entry.attempt > 1 else []
        result = Result(
            git_directory=Path(entry.submission.git_directory),
            baseline_rev=entry.submission.baseline_rev,
            name=entry.name,
            rev=outcome.rev,
            force=entry.submission.force,
            replaces=[attempt.outcome.rev for attempt in before if isinstance(attempt.outcome, Succeeded)],
        )
        run = entry.run.id
        try:
            name = await file_result(result, self._git, lambda what: self._obstacles.update({run: what}))
        finally:
            self._obstacles.pop(run, None)
        if name != entry.name:
            _journal.warning("entry %s: %s was taken meanwhile; the result is %s", entry.id, entry.name, name)
            await self._rename(entry, name)

    async def _rename(self, entry: Entry, name: str) -> None:
        """Show the result's name; if a living entry waits under it, the result is found by its rev."""
        try:
            await insist(lambda: self._store.rename(entry.id, name))
        except NameTaken as taken:
            _journal.warning("entry %s keeps its name: %s is entry %s", entry.id, name, taken.entry)

    async def collect(self, entry: Entry) -> None:
        """Record that the commands of an entry's run are through, if that is news: `entry` may have been read before it was."""
        assert entry.run is not None
        run = entry.run.id
        if entry.state in {EntryState.PREPARING, EntryState.RUNNING}:
            await insist(lambda: self._store.collect(run, self._host.now()))

    async def finish(
        self, entry: Entry, outcome: Outcome, told: RunEnded | None = None, *, is_noted: bool = False
    ) -> None:
        """Record how an entry's run ended; a run that was ended before stays as it is."""
        assert entry.run is not None
        run = entry.run.id
        context, progress = (None, None) if told is None else (told.context, told.progress)
        try:
            await insist(
                lambda: self._store.finish(
                    run, outcome, self._host.now(), context, progress=progress, is_noted=is_noted
                )
            )
        except WrongState as error:
            _journal.warning("run %s was ended before: %s", run, error)
            return
        _journal.info("run %s of entry %s (%s): %s", run, entry.id, entry.name, outcome, extra=ids(entry))

    async def lose(
        self, entry: Entry, reason: str, progress: RunProgress | None = None, *, is_explained: bool = False
    ) -> None:
        """A run vanished with its worker: end whatever of it still runs, then say so, and how far it was when last heard.

        What it left is kept aside, so that its slot starts empty. One whose end was wanted is cancelled, not lost.
        """
        assert entry.run is not None
        if entry.submission.engine == LOCAL:
            await self._host.kill_run(entry.run.token)
            await trio.to_thread.run_sync(self._keep_aside, entry, entry.run)
        outcome = outcome_of_loss(entry.run, reason, is_explained=is_explained)
        told = RunEnded(
            run=entry.run.id, run_token=entry.run.token, outcome=outcome, ended_at=self._host.now(), progress=progress
        )
        await self.finish(entry, outcome, told)

    def _keep_aside(self, entry: Entry, run: Run) -> None:
        if run.worktree == entry.submission.workspace:
            return
        try:
            keep_aside(Path(run.worktree), run.id, self._kept_max)
        except OSError as error:
            _journal.warning("the worktree of run %s can't be kept: %s", run.id, error)
