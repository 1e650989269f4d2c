"""Follow: the bytes of a run log as they are written and the marks between them, from any place, to the last one.

Beside them, where it is wanted, how far the run is: told after what was written by then, and once more before its end.

No timer, no decoding. That a run has ended is observed before the log is read for the last time, so that what a command
wrote just before its end is always sent.
"""

from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from expd.bell import Bell, wait_first
from expd.execute.marks import marks_of
from expd.queueing.entry import Attempt, Entry
from expd.serve.entries import find_entries, progress_of
from expd.serve.logs import LogStream, Place, tail_place
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import UNKNOWN_ENTRY
from expproto.progress import RunProgress
from expproto.replies import Ended, EntryProgress, Followed
from expproto.requests import Follow, FollowTarget
from expproto.vocabulary import EntryId, EntryState


async def handle(request: Follow, services: Services, answer: Answer) -> Followed:
    """Stream the logs of all targets side by side; each ends with its Ended."""
    followed: dict[EntryId, tuple[Entry, FollowTarget, Attempt | None]] = {}
    for target in request.targets:
        selector, _, number = target.entry.partition("@")
        for entry in await find_entries(services, [selector], request.cwd):
            followed[entry.id] = (entry, target, await _find_attempt(entry, number, target, services))
    async with trio.open_nursery() as nursery:
        for entry, target, attempt in followed.values():
            wish = _Wish(target, with_marks=not request.raw, with_progress=request.progress)
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
    place = await trio.to_thread.run_sync(_first_place, log, marks, wish.target)
    with closing(LogStream(entry.id, log, marks, answer)) as stream:
        await stream.send_rest(place)
    await answer(Ended(entry=entry.id, name=entry.name, outcome=attempt.outcome))


async def _follow(entry: Entry, wish: _Wish, services: Services, answer: Answer) -> None:
    entry = await _wait_for_run(entry, services)
    if entry.run is not None:
        entry = await _follow_log(entry, Path(entry.run.log), wish, services, answer)
    assert entry.outcome is not None
    await answer(Ended(entry=entry.id, name=entry.name, outcome=entry.outcome))


async def _wait_for_run(entry: Entry, services: Services) -> Entry:
    """Wait until an entry has a log to follow, or is done without ever having had one."""
    bell = services.store.changes.of(entry.id)
    while entry.run is None and entry.state is not EntryState.DONE:
        changed = bell.next_ring
        entry = await _read(entry.id, services)
        if entry.run is None and entry.state is not EntryState.DONE:
            await changed.wait()
    return entry


async def _follow_log(entry: Entry, log: Path, wish: _Wish, services: Services, answer: Answer) -> Entry:
    """Send a log to its end, and give the entry as it was when it was done."""
    assert entry.run is not None
    grown, changed = Bell(), services.store.changes.of(entry.id)
    news = services.pool.progress.bell_of(entry.run.id)
    marks = wish.marks_of(log)
    if entry.state is not EntryState.DONE:
        await trio.to_thread.run_sync(_make_files, log)
    place = await trio.to_thread.run_sync(_first_place, log, marks, wish.target)
    told: RunProgress | None = None
    with closing(LogStream(entry.id, log, marks, answer)) as stream, ExitStack() as watches:
        for path in (log, marks or log):
            with suppress(FileNotFoundError):  # one that was deleted
                watches.enter_context(services.watcher.ringing(path, grown))
        change = changed.next_ring
        entry = await _read(entry.id, services)
        while True:
            growth, further = grown.next_ring, news.next_ring
            place = await stream.send_rest(place)
            progress = progress_of(services, entry) if wish.with_progress else None
            if progress is not None and progress != told:
                await answer(EntryProgress(entry=entry.id, progress=progress))
                told = progress
            if entry.state is EntryState.DONE:
                return entry
            await wait_first(growth, change, further)
            if change.is_set():
                change = changed.next_ring
                entry = await _read(entry.id, services)


def _make_files(log: Path) -> None:
    """Make the files of a run whose worker has not opened them yet; a log that was deleted since is not made anew."""
    marks = marks_of(log)
    if log.exists() or not marks.exists():
        for path in (log, marks):
            path.touch(mode=0o600)


def _first_place(log: Path, marks: Path | None, target: FollowTarget) -> Place:
    """Find where to begin; a log that is not there any more is told from its beginning."""
    if target.lines is None or not log.exists():
        return Place(offset=max(0, target.offset), marks=max(0, target.marks))
    return tail_place(log, marks, target.lines)


async def _read(entry_id: EntryId, services: Services) -> Entry:
    entry = await services.store.entry(entry_id)
    if entry is None:  # it ended, and was removed, while nobody looked
        raise Refused(UNKNOWN_ENTRY, selector=str(entry_id), candidates=[])
    return entry
