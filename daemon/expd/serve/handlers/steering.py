"""Hold, RunNow, Edit, Move: what waits is steered, one entry, a sweep or a group; all of what is named, or none."""

import time
from collections.abc import Callable, Sequence

from expd.queueing.database import Cursor
from expd.queueing.entry import Entry
from expd.queueing.steering import (
    WAITING,
    hold_entry,
    move_before,
    move_to_top,
    run_entry_now,
)
from expd.serve.editing import edit_of, edit_waiting, override_entries
from expd.serve.entries import find_entries, send_entries
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import AMBIGUOUS_ENTRY, USAGE, WRONG_STATE
from expproto.replies import EntriesChanged
from expproto.steering import EditEntries, Hold, Move, RunNow
from expproto.vocabulary import EntryId

Change = Callable[[Cursor, EntryId], Entry]
_WHAT = "its run has begun or is over, and what it was queued as is history"


async def handle_hold(request: Hold, services: Services, answer: Answer) -> EntriesChanged:
    """Let entries wait for their release."""
    now = time.time()
    return await _steer(
        request.entries, request.cwd, lambda cursor, id_: hold_entry(cursor, id_, now), services, answer
    )


async def handle_run_now(request: RunNow, services: Services, answer: Answer) -> EntriesChanged:
    """Let entries run at once, whatever slots there are."""
    now = time.time()
    return await _steer(
        request.entries, request.cwd, lambda cursor, id_: run_entry_now(cursor, id_, now), services, answer
    )


async def handle_edit(request: EditEntries, services: Services, answer: Answer) -> EntriesChanged:
    """Change entries that wait: where they stand, what they wait for, and what they will run with."""
    edit = await edit_of(request, services)
    if not request.overrides:
        return await _steer(
            request.entries, request.cwd, lambda cursor, id_: edit_waiting(cursor, id_, edit), services, answer
        )
    if edited_before := await services.store.edited_by(request.request_id):
        return await _told(edited_before, services, answer)
    found = await _waiting(request.entries, request.cwd, services)
    return await _told(await override_entries(found, request, edit, services), services, answer)


async def handle_move(request: Move, services: Services, answer: Answer) -> EntriesChanged:
    """Let entries be the next of their group, or come right before another one; among each other as they are named."""
    if request.before is None:
        found = await _waiting(request.entries, request.cwd, services)
        moved = await services.store.steer([entry.id for entry in reversed(found)], move_to_top)
        return await _told(list(reversed(moved)), services, answer)
    others = await find_entries(services, [request.before], request.cwd)
    if len(others) != 1:
        candidates = [f"{entry.id} {entry.name}" for entry in others[:20]]
        raise Refused(AMBIGUOUS_ENTRY, selector=request.before, candidates=candidates)
    _check([request.before], others)
    other = others[0].id
    return await _steer(
        request.entries, request.cwd, lambda cursor, id_: move_before(cursor, id_, other), services, answer
    )


async def _steer(
    selectors: Sequence[str], cwd: str, change: Change, services: Services, answer: Answer
) -> EntriesChanged:
    found = await _waiting(selectors, cwd, services)
    return await _told(await services.store.steer([entry.id for entry in found], change), services, answer)


async def _told(entries: list[Entry], services: Services, answer: Answer) -> EntriesChanged:
    await send_entries(services, entries, answer)
    return EntriesChanged(count=len(entries))


async def _waiting(selectors: Sequence[str], cwd: str, services: Services) -> list[Entry]:
    """Find what waits of what is named; refuses one entry that does not, and of several passes over such."""
    if not selectors:
        raise Refused(USAGE, what="name the entries")
    chosen: dict[EntryId, Entry] = {}
    for selector in selectors:
        found = await find_entries(services, [selector], cwd)
        _check([selector], found)
        chosen.update({entry.id: entry for entry in found if entry.state in WAITING})
    return list(chosen.values())


def _check(selectors: Sequence[str], found: Sequence[Entry]) -> None:
    if len(found) == 1 and found[0].state not in WAITING:
        raise Refused(WRONG_STATE, entry=found[0].id, state=found[0].state, what=_WHAT)
    if not any(entry.state in WAITING for entry in found):
        raise Refused(USAGE, what=f"nothing of {selectors[0]} waits")
