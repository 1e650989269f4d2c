"""Entries as clients name them and see them: selector → entries, entry → record."""

import re
from collections.abc import Sequence
from pathlib import Path

import trio

from expd.gitio.errors import NotARepository
from expd.gitio.locate import locate
from expd.queueing.entry import Entry
from expd.queueing.schedule import PoolState, waits_for
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import AMBIGUOUS_ENTRY, UNKNOWN_ENTRY
from expproto.replies import PAGE_ENTRIES, EntryPage, EntryRecord
from expproto.vocabulary import EntryId, EntryState, exit_code_of

_REV = re.compile(r"[0-9a-f]{4,40}")
_ID_MAX = 2**63 - 1


async def find_entries(services: Services, selectors: Sequence[str], cwd: str) -> list[Entry]:
    """Find what each selector names; refuses one that names nothing, or several entries of different repositories."""
    repository = await trio.to_thread.run_sync(_repository_at, cwd, limiter=services.git)
    return [await _find_one(services, selector, repository) for selector in selectors]


async def _find_one(services: Services, selector: str, repository: str | None) -> Entry:
    """An id first, then a name (of this repository before others; the newest), then the beginning of a rev."""
    if selector.isascii() and selector.isdigit() and int(selector) <= _ID_MAX:
        entry = await services.store.entry(EntryId(int(selector)))
        if entry is not None:
            return entry
    found = await services.store.named(selector, repository) if repository else []
    found = found or await services.store.named(selector, None)
    if not found and _REV.fullmatch(selector):
        found = await services.store.by_rev(selector)
    if not found:
        raise Refused(UNKNOWN_ENTRY, selector=selector, candidates=[])
    if len({entry.submission.git_directory for entry in found}) > 1:
        raise Refused(AMBIGUOUS_ENTRY, selector=selector, candidates=[f"{entry.id} {entry.name}" for entry in found])
    return found[0]


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
        waits_for=_reason_to_wait(entry, pool, ahead, services.pool.trouble),
        stage=None if run is None or entry.state is EntryState.DONE else services.pool.stage_of(run.id),
    )


def _reason_to_wait(entry: Entry, pool: PoolState, ahead: int, trouble: str | None) -> str | None:
    if entry.state is EntryState.HELD:
        return "its release"
    if entry.state is not EntryState.QUEUED:
        return None
    return trouble or waits_for(pool, ahead=ahead)


async def send_entries(services: Services, entries: Sequence[Entry], answer: Answer) -> None:
    """Send entries as pages of records."""
    pool = await services.store.pool()
    ahead = None
    for start in range(0, len(entries), PAGE_ENTRIES):
        records = []
        for entry in entries[start : start + PAGE_ENTRIES]:
            if entry.state is EntryState.QUEUED and ahead is None:
                ahead = await services.store.ahead_of(entry.id)
            records.append(record_of(services, entry, pool, ahead or 0))
            if entry.state is EntryState.QUEUED and ahead is not None:
                ahead += 1
        await answer(EntryPage(entries=tuple(records)))
