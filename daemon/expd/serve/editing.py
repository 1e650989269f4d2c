"""EditEntries as the store takes it; and entries with other parameters: new stash commits, made of their own.

Nothing is checked out, and the workspace is not looked at. What is new is on the disk and held by the submission's ref,
beside what was there, before the rows name it; only when they do, or will not, is what they don't name let go. A kill in
between leaves each entry as it was or as it is to be, and at worst a ref that holds both, which the next start narrows.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import trio

from expd.gitio.errors import GitFailed, RefLocked, RefMoved
from expd.gitio.repository import Repository
from expd.prepare.capture import hold_again, hold_meanwhile, let_go
from expd.prepare.names import refilled
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.sweeps import is_sweep
from expd.prepare.points import points_of
from expd.queueing.database import Cursor, StoreFailed
from expd.queueing.editing import Edit, UnusableDependency, Variant, edit_entry
from expd.queueing.entry import Entry
from expd.queueing.writing import WrongState
from expd.serve.entries import find_dependencies
from expd.serve.handlers.submit import find_project_for, prepare_for
from expd.serve.refusals import Refused
from expd.serve.services import Services
from expd.serve.variants import variant_of
from expproto.errors import USAGE, WRONG_STATE
from expproto.limits import RunLimits, senseless_limit
from expproto.place import ANYWHERE, senseless_place
from expproto.retries import NO_RETRIES, senseless_retries
from expproto.steering import EditEntries
from expproto.vocabulary import EntryId, Mode, Rev

_journal = logging.getLogger("expd.serve")

_REQUEST_ID_CHARS = range(8, 65)


async def edit_of(request: EditEntries, services: Services) -> Edit:
    """Give what is to be changed; refuses what makes no sense."""
    after = None if request.after is None else await find_dependencies(services, request.after, request.cwd)
    edit = Edit(
        priority=request.priority,
        group=request.group,
        not_before=request.not_before,
        after=after,
        time_seconds=request.time_seconds,
        stall_seconds=request.stall_seconds,
        memory_bytes=request.memory_bytes,
        cpus=request.cpus,
        retries=request.retries,
        causes=request.causes,
        backoff_seconds=request.backoff_seconds,
    )
    if what := _senseless(edit):
        raise Refused(USAGE, what=what)
    if edit == Edit() and not request.overrides:
        raise Refused(USAGE, what="say what is to be different", hint="expctl edit ID --priority 10")
    if request.overrides and (len(request.request_id) not in _REQUEST_ID_CHARS or not request.request_id.isalnum()):
        raise Refused(USAGE, what="a request with overrides has an id of 8 to 64 letters and digits")
    return edit


def _senseless(edit: Edit) -> str | None:
    place = replace(
        ANYWHERE, priority=edit.priority or 0, group=edit.group or ANYWHERE.group, not_before=edit.not_before
    )
    limits = edit.limits(RunLimits())
    return senseless_place(place) or senseless_limit(limits) or senseless_retries(edit.policy(NO_RETRIES))


def edit_waiting(cursor: Cursor, entry: EntryId, edit: Edit, variant: Variant | None = None) -> Entry:
    """Change an entry as `edit_entry` does; refuses what it can't be made to wait for."""
    try:
        return edit_entry(cursor, entry, edit, variant)
    except UnusableDependency as error:
        raise Refused(USAGE, what=f"--after: {error.what}") from error


async def override_entries(
    entries: Sequence[Entry], request: EditEntries, edit: Edit, services: Services
) -> list[Entry]:
    """Give entries that wait a new stash commit each, and what else is to be changed; all of them or none."""
    async with services.editing:
        present = [
            await services.store.entry(entry.id) for entry in entries
        ]  # edited while this one waited for its turn
        variants = {entry.id: await _variant(entry, request, services) for entry in present if entry is not None}
        async with (
            _nothing_begun(),
            _held_meanwhile([entry for entry in present if entry is not None], variants, services),
        ):
            return await services.store.steer(
                [entry.id for entry in entries], lambda cursor, id_: edit_waiting(cursor, id_, edit, variants.get(id_))
            )


@asynccontextmanager
async def _nothing_begun() -> AsyncIterator[None]:
    """Refuse in words what a worker has taken, or somebody cancelled, while the new stash commits were made."""
    try:
        yield
    except WrongState as error:
        what = "that came about while the edit was being prepared"
        raise Refused(WRONG_STATE, entry=error.entry, state=error.state, what=what) from error


async def _variant(entry: Entry, request: EditEntries, services: Services) -> Variant:
    """Make the stash commit of an entry with further overrides; nothing holds it yet."""
    _check(entry, request.overrides)
    submission = await variant_of(entry, request.overrides, (), services, request_id=request.request_id)
    (point,) = points_of(submission, 1, services.rng)
    name = refilled(
        entry.submission.name,
        entry.name,
        before=entry.params,
        after={**entry.params, **point.values()},
        count=services.settings.sweep_points_max,
    )
    is_new_name = name != entry.name
    submission = replace(submission, name=name, force=entry.submission.force or not is_new_name)
    project = await find_project_for(submission, entry.stash_rev, services)
    prepared = await prepare_for(submission, project, entry.stash_rev, services, held_as="", is_variant=True)
    return Variant(
        stash_rev_before=entry.stash_rev,
        stash_rev=prepared.points[0].stash_rev,
        params={**entry.params, **prepared.points[0].params},
        name=name,
        request_id=request.request_id,
    )


def _check(entry: Entry, overrides: Sequence[str]) -> None:
    """Refuse what can't have other parameters, and a sweep of them."""
    if is_sweep(overrides):
        hint = "a sweep from the same state: expctl retry ID -S …, or expctl submit --from ID -S …"
        raise OverrideError(text=" ".join(overrides), problem="an entry has one value of each parameter", hint=hint)
    if entry.submission.verifies is not None:
        what, hint = "it repeats an experiment as that was", f"expctl submit --from {entry.submission.verifies} -S …"
    elif entry.submission.mode is Mode.WORKSPACE:
        what, hint = "it runs in the workspace, with what is there", "expctl run -S …"
    elif entry.resumes is not None:
        what, hint = (
            "its next attempt goes on in what its last run left",
            f"expctl cancel {entry.id}; expctl retry {entry.id} -S …",
        )
    else:
        return
    raise Refused(WRONG_STATE, entry=entry.id, state=entry.state, what=what, hint=hint)


@asynccontextmanager
async def _held_meanwhile(
    entries: Sequence[Entry], variants: Mapping[EntryId, Variant], services: Services
) -> AsyncIterator[None]:
    """Have the refs of submissions hold what entries have and what they are to have; afterwards, what they have then."""
    by_submission = [
        list(of_one)
        for _id, of_one in groupby(
            sorted(entries, key=lambda each: each.submission_id), lambda each: each.submission_id
        )
    ]
    names = {of_one[0].submission.held_as for of_one in by_submission}
    services.capturing.update(names)
    try:
        for of_one in by_submission:
            kept = [entry.stash_rev for entry in await services.store.of_submission(of_one[0].submission_id)]
            coming = [variants[entry.id].stash_rev for entry in of_one]
            await trio.to_thread.run_sync(_widen, of_one[0], kept, coming, limiter=services.git)
        yield
    finally:
        with trio.CancelScope(shield=True):
            for of_one in by_submission:
                await _narrow(of_one[0], services)
        services.capturing.difference_update(names)


def _widen(entry: Entry, kept: Sequence[Rev], coming: Sequence[Rev]) -> None:
    repository = Repository(Path(entry.submission.git_directory))
    there = [rev for rev in kept if repository.has_object(rev)]
    identity = repository.identity(entry.submission.submitted_at)
    hold_meanwhile(
        repository, entry.submission.held_as, entry.submission.captured_tree, identity, kept=there, coming=coming
    )


async def _narrow(entry: Entry, services: Services) -> None:
    """Let a submission hold what its entries have; what can't be done now is done at the next start."""
    try:
        entries = await services.store.of_submission(entry.submission_id)
        kept = [each.stash_rev for each in entries]
        await trio.to_thread.run_sync(_hold_only, entry, kept, limiter=services.git)
    except (GitFailed, RefLocked, RefMoved, StoreFailed) as error:
        _journal.warning("%s holds more than it has to: %s", entry.submission.held_as, error)


def _hold_only(entry: Entry, kept: Sequence[Rev]) -> None:
    repository = Repository(Path(entry.submission.git_directory))
    there = [rev for rev in dict.fromkeys(kept) if repository.has_object(rev)]
    if not there:
        let_go(repository, entry.submission.held_as)
        return
    identity = repository.identity(entry.submission.submitted_at)
    hold_again(repository, entry.submission.held_as, entry.submission.captured_tree, there, identity)
