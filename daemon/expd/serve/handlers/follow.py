"""Follow: the bytes of run logs as they are written and the marks between them, from any position, to the last one.

Beside them, where it is wanted, how far the run is: told after what was written by then, and once more before its end.

No timer, no decoding. That a run has ended is observed before the log is read for the last time, so that what a command
wrote just before its end is always sent.
"""

from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from expd.bell import Bell, wait_first
from expd.execute.marks import marks_of
from expd.queueing.entry import Attempt, Entry
from expd.serve.entries import find_entries, progress_of
from expd.serve.logs import LogStream, Position, tail_position
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import UNKNOWN_ENTRY
from expproto.progress import RunProgress
from expproto.replies import AttemptEnded, Ended, EntryProgress, Followed
from expproto.requests import Follow, FollowTarget
from expproto.vocabulary import EntryId, EntryState, Outcome, RunId


async def handle(request: Follow, services: Services, answer: Answer) -> Followed:
    """Stream the logs of all targets side by side; each ends with its Ended."""
    followed: dict[EntryId, tuple[Entry, FollowTarget, Attempt | None]] = {}
    for target in request.targets:
        selector, _, number = target.entry.partition("@")
        for entry in await find_entries(services, [selector], request.cwd):
            followed[entry.id] = (entry, target, await _find_attempt(entry, number, target, services))
    async with trio.open_nursery() as nursery:
        for entry, target, attempt in followed.values():
            wish = _Wish(
                target,
                with_marks=not request.raw,
                with_progress=request.progress,
                is_one_attempt="@" in target.entry,
                reads_logs=request.reads_logs,
            )
            if attempt is None:
                nursery.start_soon(_follow, entry, wish, services, answer)
            else:
                nursery.start_soon(_send_attempt, entry, attempt, wish, answer)
    return Followed()


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to be followed of one log."""

    target: FollowTarget
    with_marks: bool
    with_progress: bool
    is_one_attempt: bool
    reads_logs: bool

    def marks_of(self, log: Path) -> Path | None:
        """Give the marks that are wanted with a log, if they are."""
        return marks_of(log) if self.with_marks else None


async def _find_attempt(entry: Entry, number: str, target: FollowTarget, services: Services) -> Attempt | None:
    """Find the attempt that `ID@N` names, if it is over; None is the present one. Names hold no @."""
    if not number or number == str(entry.attempt):
        return None
    for attempt in await services.store.attempts(entry.id):
        if str(attempt.number) == number and attempt.outcome is not None:
            return attempt
    raise Refused(UNKNOWN_ENTRY, selector=target.entry, candidates=[f"{entry.id}@{entry.attempt}"])


async def _send_attempt(entry: Entry, attempt: Attempt, wish: _Wish, answer: Answer) -> None:
    """Send the log of an attempt that is over; one that was deleted is empty."""
    assert attempt.outcome is not None
    log = Path(attempt.log)
    marks = wish.marks_of(log)
    position = await trio.to_thread.run_sync(_first_position, log, marks, wish.target)
    with closing(LogStream(entry.id, log, marks, answer, is_read_there=wish.reads_logs)) as stream:
        await stream.send_rest(position)
    await answer(Ended(entry=entry.id, name=entry.name, outcome=attempt.outcome))


async def _follow(entry: Entry, wish: _Wish, services: Services, answer: Answer) -> None:
    """Send the log of one attempt after the other, until the entry is done."""
    number = wish.target.attempt or entry.attempt
    while True:
        log = await _wait_for_log(entry.id, number, services)
        if log is not None:
            await _follow_log(log, wish, services, answer)
        entry = await _read(entry.id, services)
        if entry.attempt <= number and entry.state is EntryState.DONE:
            outcome = entry.outcome
            break
        outcome = await _outcome_of(entry, number, services)
        if wish.is_one_attempt and outcome is not None:
            break
        if outcome is not None:  # else it never ran
            await answer(_attempt_ended(entry, number, outcome))
        number += 1
        wish = replace(wish, target=FollowTarget(entry=wish.target.entry))
    assert outcome is not None
    await answer(Ended(entry=entry.id, name=entry.name, outcome=outcome))


@dataclass(frozen=True, slots=True)
class _Log:
    """The log of one attempt at an entry."""

    entry: EntryId
    attempt: int
    path: Path
    run: RunId | None
    """Its run, while that goes on."""


def _is_over(entry: Entry, number: int) -> bool:
    """Tell whether nothing more comes of an attempt."""
    return entry.attempt > number or entry.state is EntryState.DONE


async def _wait_for_log(entry_id: EntryId, number: int, services: Services) -> _Log | None:
    """Wait until an attempt has a log to follow; None once it is over without ever having had one."""
    bell = services.store.changes.of(entry_id)
    while True:
        changed = bell.next_ring
        entry = await _read(entry_id, services)
        if entry.attempt == number and entry.run is not None:
            run = None if entry.state is EntryState.DONE else entry.run.id
            return _Log(entry_id, number, Path(entry.run.log), run)
        if _is_over(entry, number):
            attempts = await services.store.attempts(entry_id)
            logs = (_Log(entry_id, number, Path(each.log), None) for each in attempts if each.number == number)
            return next(logs, None)
        await changed.wait()


async def _follow_log(log: _Log, wish: _Wish, services: Services, answer: Answer) -> None:
    """Send the log of an attempt to its end, and how far it is."""
    grown, changed = Bell(), services.store.changes.of(log.entry)
    news = Bell() if log.run is None else services.pool.progress.bell_of(log.run)
    marks = wish.marks_of(log.path)
    if log.run is not None:
        await trio.to_thread.run_sync(_make_files, log.path)
    position = await trio.to_thread.run_sync(_first_position, log.path, marks, wish.target)
    told: RunProgress | None = None
    is_read_there = wish.reads_logs and log.run is None
    with (
        closing(LogStream(log.entry, log.path, marks, answer, is_read_there=is_read_there)) as stream,
        ExitStack() as watches,
    ):
        for path in (log.path, marks or log.path):
            with suppress(FileNotFoundError):  # one that was deleted
                watches.enter_context(services.watcher.ringing(path, grown))
        change = changed.next_ring
        entry = await _read(log.entry, services)
        while True:
            growth, further = grown.next_ring, news.next_ring
            position = await stream.send_rest(position)
            is_told = wish.with_progress and entry.attempt == log.attempt
            progress = progress_of(services, entry) if is_told else None
            if progress is not None and progress != told:
                await answer(EntryProgress(entry=entry.id, progress=progress))
                told = progress
            if _is_over(entry, log.attempt):
                return
            await wait_first(growth, change, further)
            if change.is_set():
                change = changed.next_ring
                entry = await _read(log.entry, services)


async def _outcome_of(entry: Entry, number: int, services: Services) -> Outcome | None:
    """Read how an attempt that is over ended; None if it never ran."""
    attempts = await services.store.attempts(entry.id)
    return next((attempt.outcome for attempt in attempts if attempt.number == number), None)


def _attempt_ended(entry: Entry, number: int, outcome: Outcome) -> AttemptEnded:
    """Tell how an attempt ended that another one follows."""
    is_next = entry.attempt == number + 1
    return AttemptEnded(
        entry=entry.id,
        name=entry.name,
        attempt=number,
        outcome=outcome,
        not_before=entry.not_before if is_next else None,
        hold_reason=entry.hold_reason if is_next else None,
    )


def _make_files(log: Path) -> None:
    """Make the files of a run whose worker has not opened them yet; a log that was deleted since is not made anew."""
    marks = marks_of(log)
    if log.exists() or not marks.exists():
        for path in (log, marks):
            path.touch(mode=0o600)


def _first_position(log: Path, marks: Path | None, target: FollowTarget) -> Position:
    """Find where to begin; a log that is not there any more is told from its beginning."""
    if target.lines is None or not log.exists():
        return Position(offset=max(0, target.offset), marks=max(0, target.marks))
    return tail_position(log, marks, target.lines)


async def _read(entry_id: EntryId, services: Services) -> Entry:
    entry = await services.store.entry(entry_id)
    if entry is None:  # it ended, and was removed, while nobody looked
        raise Refused(UNKNOWN_ENTRY, selector=str(entry_id), candidates=[])
    return entry
