"""Show: the experiments of HEAD, each row computed alone, so that a broken one hides none of the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trio

from expd.collect.results import Facts, Results, changed_facts, shown
from expd.prepare.capture import NoCommit
from expd.queueing.entry import Unfinished
from expd.serve.projects import OpenProject, ResultMemory, open_project_at
from expd.serve.services import Answer, Services
from expproto.records import ExperimentRecord
from expproto.replies import PAGE_ENTRIES, ExperimentPage, Shown
from expproto.requests import Show
from expproto.vocabulary import EntryId, Rev


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    name: str
    rev: Rev
    created_at: float
    results: Results


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    git_directory: str
    baseline_rev: Rev
    baseline_name: str | None
    baseline: Results
    rows: Sequence[_Row]


async def handle(request: Show, services: Services, answer: Answer) -> Shown:
    """List the experiments of HEAD, and the runs without a result that have metrics, newest first."""
    table = await trio.to_thread.run_sync(_read_table, request.cwd, services.results, limiter=services.git)
    entries = await services.store.results_of_baseline(table.git_directory, table.baseline_rev)
    unfinished = await services.store.unfinished(table.git_directory, table.baseline_rev)
    results = [_record(row, table, entries.get(row.rev)) for row in table.rows]
    partial = [
        _partial_record(one, table, progress.metrics)
        for one in unfinished
        if (progress := one.progress or services.pool.progress.of(one.run)) is not None and progress.metrics
    ]
    records = sorted([*results, *partial], key=_newest_first)
    for start in range(0, len(records), PAGE_ENTRIES):
        await answer(ExperimentPage(experiments=tuple(records[start : start + PAGE_ENTRIES])))
    return Shown(
        baseline_rev=table.baseline_rev,
        baseline_name=table.baseline_name,
        baseline_params=shown(table.baseline.params),
        baseline_metrics=shown(table.baseline.metrics),
        count=len(records),
    )


def _read_table(cwd: str, memory: ResultMemory) -> _Table:
    opened = open_project_at(cwd, memory)
    baseline = opened.repository.head_rev()
    if baseline is None:
        raise NoCommit
    rows = [_row(opened, name, rev) for name, rev in opened.experiments(baseline).items()]
    return _Table(
        git_directory=str(opened.project.location.common_directory),
        baseline_rev=baseline,
        baseline_name=opened.repository.head_name(),
        baseline=opened.facts_of(baseline),
        rows=rows,
    )


def _row(opened: OpenProject, name: str, rev: Rev) -> _Row:
    results = opened.facts_of(rev)
    return _Row(
        name=name, rev=rev, created_at=results.committed_at or opened.repository.committed_at(rev), results=results
    )


def _newest_first(record: ExperimentRecord) -> tuple[float, int, str]:
    """Order by time, and within one second, which is all a commit knows, by entry."""
    return (-record.created_at, -(record.entry or 0), record.name)


def _record(row: _Row, table: _Table, entry: EntryId | None) -> ExperimentRecord:
    changed: Facts = changed_facts(row.results.params, table.baseline.params)
    return ExperimentRecord(
        name=row.name,
        rev=row.rev,
        baseline_rev=table.baseline_rev,
        created_at=row.created_at,
        params=shown(changed),
        metrics=shown(row.results.metrics),
        entry=entry,
        error=row.results.error,
    )


def _partial_record(unfinished: Unfinished, table: _Table, metrics: Mapping[str, object]) -> ExperimentRecord:
    """Give the row of a run without a result: what was overridden, and the metrics that it wrote last."""
    return ExperimentRecord(
        name=unfinished.name,
        rev=None,
        baseline_rev=table.baseline_rev,
        created_at=unfinished.at,
        params=unfinished.params,
        metrics=metrics,
        entry=unfinished.entry,
        outcome=unfinished.outcome,
    )
