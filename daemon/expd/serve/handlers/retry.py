"""Retry: entries that are done are queued once more, from the same stash commit and under the same name."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import trio

from expd.dispatch.orders import pack_environment
from expd.gitio.locate import locate
from expd.prepare.environment import allowed
from expd.queueing.editing import Edit
from expd.queueing.entry import LOCAL, Entry
from expd.serve.elsewhere import travelling
from expd.serve.entries import find_entries, send_entries
from expd.serve.handlers.submit import Origin, accept
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expd.serve.variants import request_id_of, variant_of
from expproto.errors import USAGE, WRONG_STATE
from expproto.limits import NO_LIMITS, senseless_limit
from expproto.replies import EntriesChanged
from expproto.requests import Retry
from expproto.vocabulary import EntryId, EntryState, Succeeded

REQUEST_ID_CHARS = range(8, 33)
"""Shorter than other requests' ids: the entry's is added."""


_ENDED_OR_HELD = frozenset({EntryState.DONE, EntryState.HELD})


async def handle(request: Retry, services: Services, answer: Answer) -> EntriesChanged:
    """Queue another attempt of each, all of them or none; asked again, it answers the same."""
    if bool(request.entries) == request.failed:
        raise Refused(USAGE, what="name the entries to run again, or all that did not succeed")
    entries = await _failed(request, services) if request.failed else await _named(request, services)
    if what := senseless_limit(request.limits):
        raise Refused(USAGE, what=what)
    if request.overrides and request.limits != NO_LIMITS:
        raise Refused(USAGE, what="with -S it is a new entry: give that its limits", hint="expctl edit ID --mem 8G")
    if request.overrides:
        return await _retry_with(request, entries, services, answer)
    if request.name is not None:
        raise Refused(USAGE, what="another attempt has the name of its entry", hint="expctl rename, or retry with -S")
    again = [entry.id for entry in entries if entry.state in _ENDED_OR_HELD or entry.not_before is not None]
    environment = allowed(request.environment, services.settings.env_deny)
    if any(entry.submission.engine != LOCAL for entry in entries):
        environment = travelling(environment, (), services.settings)
    packed = pack_environment(environment)
    edit = Edit(
        time_seconds=request.limits.time_seconds,
        stall_seconds=request.limits.stall_seconds,
        memory_bytes=request.limits.memory_bytes,
        cpus=request.limits.cpus,
    )
    retried = {entry.id: entry for entry in await services.store.retry(again, packed, time.time(), edit)}
    shown = [retried.get(entry.id, entry) for entry in entries]
    await send_entries(services, shown, answer)
    return EntriesChanged(count=len(shown))


async def _retry_with(request: Retry, entries: Sequence[Entry], services: Services, answer: Answer) -> EntriesChanged:
    """Queue a new entry for each, from its stash commit with other parameters; the same request again gives the same."""
    if len(request.request_id) not in REQUEST_ID_CHARS or not request.request_id.isalnum():
        raise Refused(USAGE, what="a request with overrides has an id of 8 to 32 letters and digits")
    if request.name is not None and len(entries) > 1:
        raise Refused(USAGE, what=f"{len(entries)} entries can't have one name")
    environment = allowed(request.environment, services.settings.env_deny)
    found: list[Entry] = []
    for entry in entries:
        request_id = request_id_of(request.request_id, entry.id)
        accepted = await services.store.accepted_before(request_id)
        if not accepted:
            variant = await variant_of(entry, request.overrides, environment, services, request_id=request_id)
            accepted, _left_out = await accept(replace(variant, name=request.name), services, Origin(variant_of=entry))
        found.extend(accepted)
    await send_entries(services, found, answer)
    return EntriesChanged(count=len(found))


async def _failed(request: Retry, services: Services) -> list[Entry]:
    location = await trio.to_thread.run_sync(locate, Path(request.cwd), limiter=services.git)
    return await services.store.unsuccessful(str(location.common_directory))


async def _named(request: Retry, services: Services) -> list[Entry]:
    found: dict[EntryId, Entry] = {}
    for selector in request.entries:
        entries = await find_entries(services, [selector], request.cwd)
        chosen = _of_sweep(entries, request) if len(entries) > 1 else entries
        if not chosen:
            raise Refused(USAGE, what=f"no entry of {selector} is done without having succeeded")
        found.update({entry.id: entry for entry in chosen})
    for entry in found.values():
        _check(entry, request)
    return list(found.values())


def _of_sweep(entries: Sequence[Entry], request: Retry) -> list[Entry]:
    """Choose what did not succeed, by force also what did; what waits or runs is passed over, and what somebody holds."""
    ended = [entry for entry in entries if entry.state is EntryState.DONE or entry.attempt > 1]
    done = [entry for entry in ended if entry.state is not EntryState.HELD or entry.hold_reason is not None]
    return [entry for entry in done if request.force or not isinstance(entry.outcome, Succeeded)]


def _check(entry: Entry, request: Retry) -> None:
    """Refuse what can't be tried again; what is being tried again already was asked for before."""
    if isinstance(entry.outcome, Succeeded) and not (request.force or request.overrides):
        what, hint = "it succeeded, and ran as it was submitted", "--force runs it again and replaces its result"
        raise Refused(WRONG_STATE, entry=entry.id, state=entry.state, what=what, hint=hint)
    if entry.state is not EntryState.DONE and (entry.attempt == 1 or request.overrides):
        raise Refused(WRONG_STATE, entry=entry.id, state=entry.state, what="it has not ended yet")
