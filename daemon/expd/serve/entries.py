"""Entries as clients name them and see them: selector → entries, entry → record."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from expd.gitio.errors import NotARepository
from expd.gitio.locate import locate
from expd.queueing.dependents import Condition, Dependency
from expd.queueing.entry import LOCAL, Entry
from expd.queueing.schedule import MANY, PoolState, waits_for
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import AMBIGUOUS_ENTRY, UNKNOWN_ENTRY
from expproto.progress import RunProgress
from expproto.records import EntryRecord
from expproto.replies import PAGE_ENTRIES, EntryPage
from expproto.vocabulary import ACTIVE_STATES, EntryId, EntryState, exit_code_of

_REV = re.compile(r"[0-9a-f]{4,40}")
_GROUP = re.compile(r"group:(.+)")
_SUBMISSION = re.compile(r"s([0-9]{1,18})")
_ID = re.compile(r"[0-9]{1,19}")
_ID_MAX = 2**63 - 1
_CONDITIONS: Mapping[str, Condition] = {"ok": "ok", "any": "any", "failed": "failed"}


async def find_entries(services: Services, selectors: Sequence[str], cwd: str) -> list[Entry]:
    """Find what each selector names, a sweep being all its entries; refuses one that names nothing, or is ambiguous."""
    repository = await trio.to_thread.run_sync(_repository_at, cwd, limiter=services.git)
    ids = {selector: EntryId(int(selector)) for selector in selectors if _is_id(selector)}
    by_id = {entry.id: entry for entry in await services.store.some(list(ids.values()))} if ids else {}
    found: dict[EntryId, Entry] = {}
    for selector in selectors:
        entry = by_id.get(ids[selector]) if selector in ids else None
        named = await _find(services, selector, repository) if entry is None else [entry]
        found.update({each.id: each for each in named})
    return list(found.values())


def _is_id(selector: str) -> bool:
    return _ID.fullmatch(selector) is not None and int(selector) <= _ID_MAX


async def find_dependencies(services: Services, texts: Sequence[str], cwd: str) -> tuple[Dependency, ...]:
    """Find the entries that are to end first, and how: `ID`, a sweep or a name, with `:ok`, `:any` or `:failed`."""
    found: dict[EntryId, Dependency] = {}
    for text in texts:
        selector, _, condition = text.rpartition(":") if text.endswith((":ok", ":any", ":failed")) else (text, "", "ok")
        for entry in await find_entries(services, [selector], cwd):
            found[entry.id] = Dependency(needs=entry.id, condition=_CONDITIONS[condition])
    return tuple(found.values())


async def _find(services: Services, selector: str, repository: str | None) -> list[Entry]:
    """What is no entry's id: a group, a name (of this repository before others; the newest), a sweep by its name or as `s3`, a rev."""
    if group := _GROUP.fullmatch(selector):
        return await services.store.of_group(group[1])
    found = await services.store.named(selector, repository) if repository else []
    if not found and (sweep := await _find_sweep(services, selector, repository)):
        return sweep
    found = found or await services.store.named(selector, None)
    if not found and _REV.fullmatch(selector):
        found = await services.store.by_rev(selector)
    if not found:
        raise Refused(UNKNOWN_ENTRY, selector=selector, candidates=[])
    if len({entry.submission.git_directory for entry in found}) > 1:
        raise Refused(AMBIGUOUS_ENTRY, selector=selector, candidates=[f"{entry.id} {entry.name}" for entry in found])
    return found[:1]


async def _find_sweep(services: Services, selector: str, repository: str | None) -> list[Entry]:
    """A sweep is one object: its submission's number after an `s`, or the name it was given."""
    if submission := _SUBMISSION.fullmatch(selector):
        return await services.store.of_submission(int(submission[1]))
    return await services.store.of_sweep(selector, repository) if repository else []


def _repository_at(cwd: str) -> str | None:
    try:
        return str(locate(Path(cwd)).common_directory)
    except NotARepository:
        return None


def record_of(services: Services, entry: Entry, pool: PoolState, ahead: int = 0) -> EntryRecord:
    """Say what is known of an entry; `ahead` counts the queued ones before it."""
    run = entry.run
    return EntryRecord(
        id=entry.id,
        submission=entry.submission_id,
        name=entry.name,
        state=entry.state,
        outcome=entry.outcome,
        repository=entry.submission.workspace,
        baseline_rev=entry.submission.baseline_rev,
        stash_rev=entry.stash_rev,
        params=entry.params,
        command=entry.submission.command,
        experiment_rev=entry.experiment_rev,
        submitted_at=entry.submission.submitted_at,
        started_at=None if run is None else run.started_at,
        ended_at=entry.ended_at,
        exit_code=None if entry.outcome is None else exit_code_of(entry.outcome),
        log=None if run is None else run.log,
        waits_for=_reason_to_wait(services, entry, pool, ahead),
        engine=entry.submission.engine,
        host=None if run is None or entry.state is EntryState.DONE else services.pool.host_of(run.id),
        mode=entry.submission.mode,
        attempt=entry.attempt,
        retries_left=entry.retries_left,
        not_before=entry.not_before,
        earlier_outcome=entry.earlier_outcome,
        priority=entry.place.priority,
        group=entry.place.group,
        stage=None if run is None or entry.state is EntryState.DONE else services.pool.stage_of(run.id),
        progress=progress_of(services, entry),
    )


def progress_of(services: Services, entry: Entry) -> RunProgress | None:
    """Give how far an entry's newest run is, or was when it ended."""
    return None if entry.run is None else entry.run.progress or services.pool.progress.of(entry.run.id)


def _reason_to_wait(services: Services, entry: Entry, pool: PoolState, ahead: int) -> str | None:
    trouble = services.pool.trouble or services.pool.short_of_room(entry.submission.git_directory)
    if entry.state is EntryState.HELD:
        return f"its release: {entry.hold_reason}" if entry.hold_reason else "its release"
    if entry.state in ACTIVE_STATES and entry.run is not None:
        is_frozen = entry.run.frozen_at is not None and entry.state is not EntryState.COLLECTING
        frozen = "it is frozen: expctl resume" if is_frozen and entry.run.cancel_reason is None else None
        return frozen or services.pool.obstacle(entry.run.id)
    if entry.submission.engine != LOCAL:
        return _reason_to_wait_elsewhere(services, entry, pool)
    if entry.state is not EntryState.QUEUED:
        return None
    if entry.not_before is not None:
        return "its next attempt" if entry.earlier_outcome is not None else "its time"
    if entry.waits_for:
        return (
            f"the end of {'entry' if len(entry.waits_for) == 1 else 'entries'} {', '.join(map(str, entry.waits_for))}"
        )
    if entry.is_at_once:
        return trouble or "its worker"
    return trouble or waits_for(pool, ahead=ahead, group_name=entry.place.group)


def _reason_to_wait_elsewhere(services: Services, entry: Entry, pool: PoolState) -> str | None:
    """Say what an entry of another engine waits for: the engine, or a host that takes it."""
    if entry.state is EntryState.QUEUED:
        paused = "the pool is paused: expctl resume" if pool.paused else None
        return paused or services.pool.engine_trouble(entry.submission.engine) or "its way to the broker"
    return None if entry.run is None else services.pool.obstacle(entry.run.id)


async def send_entries(
    services: Services, entries: Sequence[Entry], answer: Answer, turns: Mapping[EntryId, int] | None = None
) -> None:
    """Send entries as pages of records; `turns` says how many are ahead of each that may start, of whom there are not MANY, if that was asked before."""
    pool, turns = await _pool_and_turns(services, entries, turns)
    for start in range(0, len(entries), PAGE_ENTRIES):
        page = entries[start : start + PAGE_ENTRIES]
        records = [record_of(services, entry, pool, turns.get(entry.id, MANY)) for entry in page]
        await answer(EntryPage(entries=tuple(records)))


async def _pool_and_turns(
    services: Services, entries: Sequence[Entry], turns: Mapping[EntryId, int] | None
) -> tuple[PoolState, Mapping[EntryId, int]]:
    """Read the pool, and how many are ahead of those of these entries that may start."""
    waiting = [
        entry.id
        for entry in entries
        if entry.state is EntryState.QUEUED and entry.not_before is None and not entry.waits_for
    ]
    if turns is None and len(waiting) == 1:
        pool, ahead = await services.store.pool_around(waiting[0])
        return pool, {waiting[0]: ahead}
    if turns is None:
        turns = await services.store.turns() if waiting else {}
    return await services.store.pool(), turns
