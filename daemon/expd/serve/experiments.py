"""An experiment as clients name it → its commit: an entry's id or name, an experiment of HEAD, or a rev."""

from dataclasses import dataclass

import trio

from expd.queueing.entry import Entry
from expd.serve.entries import find_entries
from expd.serve.projects import ResultMemory, open_project_at
from expd.serve.refusals import Refused
from expd.serve.services import Services
from expproto.errors import AMBIGUOUS_ENTRY
from expproto.vocabulary import Rev


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedExperiment:
    """What a selector names: a commit, an entry, or both; `cwd` is where its project is looked for."""

    name: str
    rev: Rev | None
    baseline_rev: Rev
    entry: Entry | None
    cwd: str


async def find_experiment(services: Services, selector: str, cwd: str) -> NamedExperiment:
    """Find one experiment; the queue is asked first, then the repository's refs and revs."""
    try:
        return _of_entry(_only(selector, await find_entries(services, [selector], cwd)))
    except Refused as refused:
        not_queued = refused
    found = await trio.to_thread.run_sync(_find_in_git, selector, cwd, services.results, limiter=services.git)
    if found is None:
        raise not_queued
    return found


def _only(selector: str, entries: list[Entry]) -> Entry:
    if len(entries) > 1:
        raise Refused(AMBIGUOUS_ENTRY, selector=selector, candidates=[f"{entry.id} {entry.name}" for entry in entries])
    return entries[0]


def _of_entry(entry: Entry) -> NamedExperiment:
    return NamedExperiment(
        name=entry.name,
        rev=entry.experiment_rev,
        baseline_rev=entry.submission.baseline_rev,
        entry=entry,
        cwd=f"{entry.submission.workspace}/{entry.submission.root}",
    )


def _find_in_git(selector: str, cwd: str, memory: ResultMemory) -> NamedExperiment | None:
    """Look among the experiments of HEAD, then for any revision."""
    opened = open_project_at(cwd, memory)
    head = opened.repository.head_rev()
    rev = None if head is None else opened.experiments(head).get(selector)
    if rev is not None and head is not None:
        return NamedExperiment(name=selector, rev=rev, baseline_rev=head, entry=None, cwd=cwd)
    rev = opened.repository.resolve_commit(selector)
    if rev is None:
        return None
    parents = opened.repository.parents_of(rev)
    return NamedExperiment(name=selector, rev=rev, baseline_rev=parents[0] if parents else rev, entry=None, cwd=cwd)
