"""Release: entries that were held are queued."""

import time

from expd.serve.entries import find_entries, send_entries
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import USAGE
from expproto.replies import EntriesChanged
from expproto.requests import Release
from expproto.vocabulary import EntryId, EntryState


async def handle(request: Release, services: Services, answer: Answer) -> EntriesChanged:
    """Let the entries named run, all of them or none; of a sweep or a group, those that are held."""
    if not request.entries:
        raise Refused(USAGE, what="name the entries to release")
    chosen: dict[EntryId, None] = {}
    for selector in request.entries:
        found = await find_entries(services, [selector], request.cwd)
        held = [entry for entry in found if entry.state is EntryState.HELD] or found  # what is none of them is refused
        chosen.update(dict.fromkeys(entry.id for entry in held))
    released = await services.store.release(list(chosen), time.time())
    await send_entries(services, released, answer)
    return EntriesChanged(count=len(released))
