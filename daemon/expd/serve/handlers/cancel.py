"""Cancel: the wish is on disk when it is acknowledged; what waits has ended then, what runs is being ended."""

import signal
from pathlib import Path

from expd.serve.entries import find_entries, send_entries
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import USAGE
from expproto.replies import CancelAccepted
from expproto.requests import Cancel
from expproto.vocabulary import EntryState


async def handle(request: Cancel, services: Services, answer: Answer) -> CancelAccepted:
    """End the entries named; those that are done stay as they are."""
    if not request.entries:
        raise Refused(USAGE, what="name the entries to cancel")
    if request.signal is not None and request.signal not in set(signal.Signals):
        raise Refused(USAGE, what=f"there is no signal {request.signal}")
    entries = await find_entries(services, request.entries, request.cwd)
    cancelled = await services.pool.cancel([entry.id for entry in entries], request.reason, request.signal)
    for entry in cancelled:
        if entry.state is EntryState.DONE and entry.resumes is not None:
            await services.recovery.give_back(Path(entry.submission.git_directory))
    await send_entries(services, cancelled, answer)
    return CancelAccepted(count=len(cancelled))
