"""Status: entries as they are on disk, and for the queued ones what they wait for."""

from expd.serve.entries import find_entries, send_entries
from expd.serve.services import Answer, Services
from expproto.replies import PAGE_ENTRIES, Listed
from expproto.requests import Status


async def handle(request: Status, services: Services, answer: Answer) -> Listed:
    """List the entries named, or all."""
    if request.entries:
        entries = await find_entries(services, request.entries, request.cwd)
        await send_entries(services, entries, answer)
        count = len(entries)
    else:
        count = await _send_all(services, answer)
    return Listed(count=count, paused=(await services.store.pool()).paused, trouble=services.pool.trouble)


async def _send_all(services: Services, answer: Answer) -> int:
    count, after = 0, 0
    turns = await services.store.turns()
    while page := await services.store.page(after, PAGE_ENTRIES):
        await send_entries(services, page, answer, turns)
        count, after = count + len(page), page[-1].id
    return count
