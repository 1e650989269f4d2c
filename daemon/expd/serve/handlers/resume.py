"""ResumeRuns: entries whose last run did not succeed go on in the worktree that it left."""

import time
from collections.abc import Sequence
from pathlib import Path

import trio

from expd.dispatch.orders import pack_environment
from expd.execute.kept import changes_since, kept_place, resumable_run, set_apart
from expd.prepare.environment import allowed
from expd.queueing.entry import Entry
from expd.serve.entries import find_entries, send_entries
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import USAGE, WRONG_STATE
from expproto.replies import EntriesChanged
from expproto.requests import ResumeRuns
from expproto.vocabulary import ACTIVE_STATES, EntryId, EntryState, RunId, Succeeded


async def handle(request: ResumeRuns, services: Services, answer: Answer) -> EntriesChanged:
    """Queue another attempt of each that goes on where the last one ended: all of them or none."""
    if not request.entries:
        raise Refused(USAGE, what="name the entries to go on with")
    found: dict[EntryId, Entry] = {}
    for selector in request.entries:
        entries = await find_entries(services, [selector], request.cwd)
        chosen = _of_sweep(entries) if len(entries) > 1 else entries
        if not chosen:
            raise Refused(USAGE, what=f"no entry of {selector} has ended without having succeeded")
        found.update({entry.id: entry for entry in chosen})
    runs = {entry.id: await _run_to_go_on_from(entry, request, services) for entry in found.values()}
    for entry in found.values():
        git_directory = Path(entry.submission.git_directory)
        await trio.to_thread.run_sync(set_apart, git_directory, runs[entry.id], limiter=services.git)
    environment = allowed(request.environment, services.settings.env_deny)
    resumed = await services.store.resume(runs, pack_environment(environment) if environment else None, time.time())
    await send_entries(services, resumed, answer)
    return EntriesChanged(count=len(resumed))


def _of_sweep(entries: Sequence[Entry]) -> list[Entry]:
    """Choose what has ended otherwise than well; what waits for its first run, or runs, is passed over."""
    return [entry for entry in entries if entry.state is EntryState.DONE and not isinstance(entry.outcome, Succeeded)]


async def _run_to_go_on_from(entry: Entry, request: ResumeRuns, services: Services) -> RunId:
    """Find what was kept of an entry; refuses where there is nothing to go on with, or somebody has changed it."""
    _check(entry)
    runs = await services.store.runs_of(entry.id)
    git_directory = Path(entry.submission.git_directory)
    run = await trio.to_thread.run_sync(resumable_run, git_directory, runs, limiter=services.git)
    if run is None:
        what, hint = "nothing that a run of it left is kept", f"from the beginning: expctl retry {entry.id}"
        raise Refused(WRONG_STATE, entry=entry.id, state=entry.state, what=what, hint=hint)
    place = kept_place(git_directory, run)
    assert place is not None
    changes = [] if request.force else await trio.to_thread.run_sync(changes_since, place, limiter=services.git)
    if changes:
        what = f"what its run left in {place} was changed since: {', '.join(changes)}"
        hint = f"with these changes: expctl resume --force {entry.id}; from the beginning: expctl retry {entry.id}"
        raise Refused(WRONG_STATE, entry=entry.id, state=entry.state, what=what, hint=hint)
    return run


def _check(entry: Entry) -> None:
    if isinstance(entry.outcome, Succeeded):
        what, hint = "it succeeded, so that there is nothing to go on with", f"expctl retry --force {entry.id}"
        raise Refused(WRONG_STATE, entry=entry.id, state=entry.state, what=what, hint=hint)
    if entry.state in ACTIVE_STATES or (entry.state is not EntryState.DONE and entry.attempt == 1):
        raise Refused(WRONG_STATE, entry=entry.id, state=entry.state, what="it has not ended yet")
    if entry.submission.verifies is not None:
        raise Refused(WRONG_STATE, entry=entry.id, state=entry.state, what="a verification starts from the beginning")
    if entry.run is not None and entry.run.worktree == entry.submission.workspace:
        what, hint = "it ran in the workspace, and left there what it made", "expctl run goes on with that"
        raise Refused(WRONG_STATE, entry=entry.id, state=entry.state, what=what, hint=hint)
