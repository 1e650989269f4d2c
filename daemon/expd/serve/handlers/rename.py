"""Rename: an entry gets another name, and its experiment's ref with it; nothing that has the name is overwritten."""

from pathlib import Path

import trio

from expd.collect.filing import Result, rename_result
from expd.gitio.refs import experiment_ref, twin_of
from expd.gitio.repository import Repository
from expd.prepare.names import check_name
from expd.prepare.submission import ExperimentExists
from expd.queueing.entry import Entry
from expd.serve.entries import find_entries, send_entries
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import USAGE
from expproto.replies import EntriesChanged
from expproto.requests import Rename


async def handle(request: Rename, services: Services, answer: Answer) -> EntriesChanged:
    """Rename one entry: first the ref, if there is a result, then the row."""
    check_name(request.name)
    entries = await find_entries(services, [request.entry], request.cwd)
    if len(entries) != 1:
        raise Refused(USAGE, what=f"{request.entry} are {len(entries)} entries; rename one at a time")
    entry = entries[0]
    await trio.to_thread.run_sync(_rename_ref, entry, request.name, limiter=services.git)
    await services.store.rename(entry.id, request.name)
    renamed = await services.store.entry(entry.id)
    assert renamed is not None
    await send_entries(services, [renamed], answer)
    return EntriesChanged(count=1)


def _rename_ref(entry: Entry, name: str) -> None:
    """Move the experiment's ref, or make sure that the name is free for the result to come."""
    result = Result(
        git_directory=Path(entry.submission.git_directory),
        baseline_rev=entry.submission.baseline_rev,
        name=entry.name,
        rev=entry.experiment_rev or entry.submission.baseline_rev,
        force=False,
    )
    if not rename_result(result, name, exists=entry.experiment_rev is not None):
        ref = experiment_ref(result.baseline_rev, name)
        twin = twin_of(Repository(result.git_directory), ref, but_for=entry.name)
        raise ExperimentExists(name, result.baseline_rev, twin)
