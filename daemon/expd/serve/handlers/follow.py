"""Follow: the bytes of a run log as they are written, from any offset, to the last one; no timer, no decoding.

That a run has ended is observed before the log is read for the last time, so that what a command wrote just before
its end is always sent.
"""

import os
from pathlib import Path

import trio

from expd.bell import Bell, wait_first
from expd.queueing.entry import Attempt, Entry
from expd.serve.entries import find_entries
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import UNKNOWN_ENTRY
from expproto.replies import OUTPUT_BYTES, Ended, Followed, Output
from expproto.requests import Follow, FollowTarget
from expproto.vocabulary import EntryId, EntryState

_TAIL_BLOCK_BYTES = 64 * 1024


async def handle(request: Follow, services: Services, answer: Answer) -> Followed:
    """Stream the logs of all targets side by side; each ends with its Ended."""
    followed: dict[EntryId, tuple[Entry, FollowTarget, Attempt | None]] = {}
    for target in request.targets:
        selector, _, number = target.entry.partition("@")
        for entry in await find_entries(services, [selector], request.cwd):
            followed[entry.id] = (entry, target, await _find_attempt(entry, number, target, services))
    async with trio.open_nursery() as nursery:
        for entry, target, attempt in followed.values():
            if attempt is None:
                nursery.start_soon(_follow, entry, target, services, answer)
            else:
                nursery.start_soon(_send_attempt, entry, attempt, target, answer)
    return Followed()


async def _find_attempt(entry: Entry, number: str, target: FollowTarget, services: Services) -> Attempt | None:
    """Find the attempt that `ID@N` names, if it is over; None is the present one. Names hold no @."""
    if not number or number == str(entry.attempt):
        return None
    for attempt in await services.store.attempts(entry.id):
        if str(attempt.number) == number and attempt.outcome is not None:
            return attempt
    raise Refused(UNKNOWN_ENTRY, selector=target.entry, candidates=[f"{entry.id}@{entry.attempt}"])


async def _send_attempt(entry: Entry, attempt: Attempt, target: FollowTarget, answer: Answer) -> None:
    """Send the log of an attempt that is over; one that was deleted is empty."""
    assert attempt.outcome is not None
    log = Path(attempt.log)
    offset = await trio.to_thread.run_sync(_first_offset, log, target)
    await _send_rest(entry.id, log, offset, answer)
    await answer(Ended(entry=entry.id, name=entry.name, outcome=attempt.outcome))


async def _follow(entry: Entry, target: FollowTarget, services: Services, answer: Answer) -> None:
    entry = await _wait_for_run(entry, services)
    if entry.run is not None:
        entry = await _follow_log(entry, Path(entry.run.log), target, services, answer)
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


async def _follow_log(entry: Entry, log: Path, target: FollowTarget, services: Services, answer: Answer) -> Entry:
    """Send a log to its end, and give the entry as it was when it was done."""
    grown, changed = Bell(), services.store.changes.of(entry.id)
    offset = await trio.to_thread.run_sync(_first_offset, log, target)
    with services.watcher.ringing(log, grown):
        change = changed.next_ring
        entry = await _read(entry.id, services)
        while True:
            growth = grown.next_ring
            offset = await _send_rest(entry.id, log, offset, answer)
            if entry.state is EntryState.DONE:
                return entry
            await wait_first(growth, change)
            if change.is_set():
                change = changed.next_ring
                entry = await _read(entry.id, services)


def _first_offset(log: Path, target: FollowTarget) -> int:
    """Find where to begin. The worker may not have opened the log yet, and one that was deleted is empty."""
    log.touch(mode=0o600)
    return target.offset if target.lines is None else tail_offset(log, target.lines)


async def _read(entry_id: EntryId, services: Services) -> Entry:
    entry = await services.store.entry(entry_id)
    if entry is None:  # it ended, and was removed, while nobody looked
        raise Refused(UNKNOWN_ENTRY, selector=str(entry_id), candidates=[])
    return entry


async def _send_rest(entry: EntryId, log: Path, offset: int, answer: Answer) -> int:
    """Send what there is from `offset` on; gives the new offset."""
    descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while data := os.pread(descriptor, OUTPUT_BYTES, offset):
            await answer(Output(entry=entry, offset=offset, data=data))
            offset += len(data)
    finally:
        os.close(descriptor)
    return offset


def tail_offset(log: Path, lines: int) -> int:
    """Find where the last so many lines of a file begin; a line that is not finished counts as one."""
    with log.open("rb") as file:
        end = position = file.seek(0, os.SEEK_END)
        wanted = lines
        if position and wanted > 0:
            position -= 1  # the line feed that ends the last line begins no other
        while position > 0 and wanted > 0:
            start = max(0, position - _TAIL_BLOCK_BYTES)
            file.seek(start)
            block = file.read(position - start)
            breaks = block.count(b"\n")
            if breaks >= wanted:
                return start + _nth_break_from_end(block, wanted) + 1
            wanted -= breaks
            position = start
    return 0 if lines > 0 else end


def _nth_break_from_end(block: bytes, number: int) -> int:
    position = len(block)
    for _break in range(number):
        position = block.rindex(b"\n", 0, position)
    return position
