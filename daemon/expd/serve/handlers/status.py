"""Status: entries as they are on disk, and for the queued ones what they wait for."""

from expd.serve.entries import find_entries, send_entries
from expd.serve.memory import give_back_after
from expd.serve.services import Answer, Services
from expproto.replies import PAGE_ENTRIES, Listed
from expproto.requests import Status


async def handle(request: Status, services: Services, answer: Answer) -> Listed:
    """List the entries named, or all, or of all those that are nearest."""
    left_out = 0
    if request.entries:
        entries = await find_entries(services, request.entries, request.cwd)
        await send_entries(services, entries, answer)
        count = len(entries)
    elif request.most is not None:
        nearest = await services.store.nearest(max(0, request.most))
        await send_entries(services, nearest.entries, answer, nearest.turns)
        count, left_out = len(nearest.entries), nearest.left_out
    else:
        count = await _send_all(services, answer)
        await give_back_after(count, services.git)
    paused = (await services.store.pool()).paused
    return Listed(count=count, paused=paused, trouble=services.pool.trouble, left_out=left_out)


async def _send_all(services: Services, answer: Answer) -> int:
    count, after = 0, 0
    turns = await services.store.turns()
    while page := await services.store.page(after, PAGE_ENTRIES):
        await send_entries(services, page, answer, turns)
        count, after = count + len(page), page[-1].id
    return count
