"""Remove: entries that are done leave the queue, with their logs, environment and captured state; experiments stay."""

from collections.abc import Sequence
from pathlib import Path

import trio

from expd.dispatch.clearing import clear_away
from expd.gitio.locate import locate
from expd.queueing.entry import Entry
from expd.queueing.removal import Removed
from expd.serve.entries import find_entries, send_entries
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import USAGE, WRONG_STATE
from expproto.replies import EntriesRemoved
from expproto.requests import Remove
from expproto.vocabulary import EntryState


async def handle(request: Remove, services: Services, answer: Answer) -> EntriesRemoved:
    """Remove the entries named, or all of the repository that are done: all of them or none."""
    if bool(request.entries) == request.done:
        raise Refused(USAGE, what="name the entries to remove, or all that are done")
    entries = await _done(request, services) if request.done else await _named(request, services)
    await send_entries(services, entries, answer)
    removed = await services.store.remove([entry.id for entry in entries])
    problems = await trio.to_thread.run_sync(_clear_all, removed, services.state_directory / "runs")
    return EntriesRemoved(count=len(removed), problems=tuple(problems))


async def _done(request: Remove, services: Services) -> list[Entry]:
    location = await trio.to_thread.run_sync(locate, Path(request.cwd), limiter=services.git)
    return await services.store.done_in(str(location.common_directory))


async def _named(request: Remove, services: Services) -> list[Entry]:
    entries = await find_entries(services, request.entries, request.cwd)
    for entry in entries:
        if entry.state is not EntryState.DONE:
            hint = f"expctl cancel {entry.id}, and remove it when it has ended"
            raise Refused(WRONG_STATE, entry=entry.id, state=entry.state, what="it has not ended yet", hint=hint)
    return entries


def _clear_all(removed: Sequence[Removed], runs_directory: Path) -> list[str]:
    return [problem for each in removed for problem in clear_away(each, runs_directory)]
