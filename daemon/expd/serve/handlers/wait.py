"""Wait: answered when the entries are done; nothing polls."""

from expd.queueing.entry import Entry
from expd.serve.entries import find_entries, send_entries
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import UNKNOWN_ENTRY
from expproto.replies import Waited
from expproto.requests import Wait
from expproto.vocabulary import EntryId, EntryState


async def handle(request: Wait, services: Services, answer: Answer) -> Waited:
    """Wait for the entries named, for everything that is not done now, or until nothing runs."""
    if request.until_idle:
        await _wait_idle(services)
        return Waited(count=0)
    if request.entries:
        ids = [entry.id for entry in await find_entries(services, request.entries, request.cwd)]
    else:
        ids = await services.store.unfinished_ids()
    entries = [await wait_done(services, entry) for entry in ids]
    await send_entries(services, entries, answer)
    return Waited(count=len(entries))


async def _wait_idle(services: Services) -> None:
    """Wait until no run is active, whatever becomes of their entries: some may wait for another attempt."""
    bell = services.store.changes.turn
    while True:
        changed = bell.next_ring
        if not (await services.store.pool()).active:
            return
        await changed.wait()


async def wait_done(services: Services, entry_id: EntryId) -> Entry:
    """Wait until one entry is done, and give it."""
    bell = services.store.changes.of(entry_id)
    while True:
        changed = bell.next_ring
        entry = await services.store.entry(entry_id)
        if entry is None:  # it ended, and was removed, while nobody looked
            raise Refused(UNKNOWN_ENTRY, selector=str(entry_id), candidates=[])
        if entry.state is EntryState.DONE:
            return entry
        await changed.wait()
