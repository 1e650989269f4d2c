"""Inspect: all of one experiment, from its commit; of an entry without a result, what the queue knows."""

from collections.abc import Mapping

import trio

from expd.collect.annotating import context_in_note
from expd.collect.results import ResultPath, Results, changed_facts, shown
from expd.serve.entries import record_of
from expd.serve.experiments import NamedExperiment, find_experiment
from expd.serve.projects import ResultMemory, open_project_at
from expd.serve.services import Answer, Services
from expproto.records import OutputFile
from expproto.replies import Inspected
from expproto.requests import Inspect


async def handle(request: Inspect, services: Services, _answer: Answer) -> Inspected:
    """Tell all of one experiment."""
    named = await find_experiment(services, request.experiment, request.cwd)
    results, baseline = await trio.to_thread.run_sync(_read, named, services.results, limiter=services.git)
    record = None
    if named.entry is not None:
        ahead = await services.store.ahead_of(named.entry.id)
        record = record_of(services, named.entry, await services.store.pool(), ahead)
    return Inspected(
        name=named.name,
        rev=named.rev,
        baseline_rev=named.baseline_rev,
        params=shown(results.params),
        changed=shown(changed_facts(results.params, baseline.params)) if named.rev else {},
        metrics=shown(results.metrics),
        outputs=tuple(_output(path) for path in results.paths),
        entry=record,
        context=await _context_of(named, services),
    )


async def _context_of(named: NamedExperiment, services: Services) -> Mapping[str, object] | None:
    """Give in what the newest run took place: as the store has it, or as the commit's note does."""
    run = None if named.entry is None else named.entry.run
    context = None if run is None else await services.store.context(run.id)
    if context is not None:
        return context
    return await trio.to_thread.run_sync(_noted, named, services.results, limiter=services.git)


def _noted(named: NamedExperiment, memory: ResultMemory) -> Mapping[str, object] | None:
    return None if named.rev is None else context_in_note(open_project_at(named.cwd, memory).repository, named.rev)


def _read(named: NamedExperiment, memory: ResultMemory) -> tuple[Results, Results]:
    opened = open_project_at(named.cwd, memory)
    if named.rev is None:
        return Results(), Results()
    return opened.results_of(named.rev, named.baseline_rev), opened.facts_of(named.baseline_rev)


def _output(path: ResultPath) -> OutputFile:
    return OutputFile(
        path=path.path,
        role=path.role,
        home="git" if path.fingerprint is None else "cache",
        size=path.size,
        hash=f"git:{path.blob}" if path.fingerprint is None else f"md5:{path.fingerprint.md5}",
        stage=path.stage,
    )
