"""Release: entries that were held are queued."""

import time

from expd.serve.entries import find_entries, send_entries
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import USAGE
from expproto.replies import EntriesChanged
from expproto.requests import Release


async def handle(request: Release, services: Services, answer: Answer) -> EntriesChanged:
    """Let the entries named run, all of them or none."""
    if not request.entries:
        raise Refused(USAGE, what="name the entries to release")
    entries = await find_entries(services, request.entries, request.cwd)
    released = await services.store.release([entry.id for entry in entries], time.time())
    await send_entries(services, released, answer)
    return EntriesChanged(count=len(released))
