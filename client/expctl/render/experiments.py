"""The experiments of one baseline side by side."""

from __future__ import annotations

import time

from expctl.fields import Experiment, Fields
from expctl.render.lines import lines, pairs_text, value_text
from expctl.render.times import iso, span

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

METRIC_DIGITS = 5
"""What `dvc exp show` prints of a metric; lines, CSV and JSON hold all digits."""


class Baseline:
    """What all rows are compared with: of `expproto.replies.Shown` what is shown."""

    __slots__ = ("metrics", "name", "params", "rev")

    def __init__(self, reply: Fields) -> None:
        self.rev = reply.text("baseline_rev")
        self.name = reply.text_or_none("baseline_name")
        self.params = reply.mapping("baseline_params")
        self.metrics = reply.mapping("baseline_metrics")


def document(shown: Baseline, found: Sequence[Experiment]) -> dict[str, object]:
    """Give what `show --json` says."""
    baseline = {
        "rev": shown.rev,
        "name": shown.name,
        "params": shown.params,
        "metrics": shown.metrics,
    }
    return {"baseline": baseline, "experiments": [_document(experiment) for experiment in found]}


def plain(found: Sequence[Experiment]) -> str:
    """Give name, rev, changed parameters, metrics, and what is wrong with the row if anything is."""
    return lines(
        (row.name, row.rev or "", pairs_text(row.params), pairs_text(row.metrics), row.error or _without_result(row))
        for row in found
    )


def csv_text(shown: Baseline, found: Sequence[Experiment]) -> str:
    """Give a heading, the baseline, and the experiments; a key that is both is told apart by its prefix."""
    import csv  # noqa: PLC0415 - re and more, for this one form
    import io  # noqa: PLC0415

    params, metrics = _keys(row.params for row in found), _metric_keys(shown, found)
    both = set(params) & set(metrics)
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(
        ["name", "rev", "baseline_rev", "created_at", "entry", "outcome"]
        + [f"params:{key}" if key in both else key for key in params]
        + [f"metrics:{key}" if key in both else key for key in metrics]
    )
    baseline = [shown.name or "", shown.rev, "", "", "", ""]
    writer.writerow(baseline + _cells(shown.params, params) + _cells(shown.metrics, metrics))
    for row in found:
        entry = "" if row.entry is None else str(row.entry)
        about = [row.name, row.rev or "", row.baseline_rev, iso(row.created_at) or "", entry, _outcome(row)]
        writer.writerow(about + _cells(row.params, params) + _cells(row.metrics, metrics))
    return page.getvalue()


def page(shown: Baseline, found: Sequence[Experiment]) -> str:
    """Give a table for a terminal: the baseline first, then the newest."""
    from expctl.render.table import table  # noqa: PLC0415 - rich costs 60 ms, and only a terminal shows a table

    params, metrics = _keys(row.params for row in found), _metric_keys(shown, found)
    now = time.time()
    baseline = [shown.name or "HEAD", shown.rev[:7], ""]
    rows = [baseline + _rounded(shown.metrics, metrics) + _cells(shown.params, params)]
    for row in found:
        about = [row.name, _outcome(row) if row.rev is None else row.rev[:7], span(now - row.created_at)]
        cells = _rounded(row.metrics, metrics) + _cells(row.params, params)
        rows.append(about + (cells if row.error is None else [f"! {row.error}", *cells[1:]]))
    heading = ["name", "rev", "age", *metrics, *params]
    if any(row.error for row in found) and not metrics + params:
        heading.append("")
    return table(
        heading, [(row + [""] * len(heading))[: len(heading)] for row in rows], numbers=frozenset({"age", *metrics})
    )


def _document(row: Experiment) -> dict[str, object]:
    return {
        "name": row.name,
        "rev": row.rev,
        "baseline_rev": row.baseline_rev,
        "created_at": iso(row.created_at),
        "params": row.params,
        "metrics": row.metrics,
        "id": row.entry,
        "outcome": _outcome(row),
        "error": row.error,
    }


def _outcome(row: Experiment) -> str:
    """Say how it ended: with a result, otherwise, or not yet."""
    if row.rev is not None:
        return "succeeded"
    return "running" if row.outcome is None else row.outcome.kind


def _without_result(row: Experiment) -> str:
    """Say why there is no result, if there is none."""
    if row.rev is not None or row.outcome is None:
        return "" if row.rev is not None else "running"
    from expctl.render.outcomes import outcome_words  # noqa: PLC0415 - for hardly any row

    return outcome_words(row.outcome)


def _keys(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Give all keys, in the order in which they are met."""
    return list(dict.fromkeys(key for row in rows for key in row))


def _metric_keys(shown: Baseline, found: Sequence[Experiment]) -> list[str]:
    return _keys([shown.metrics, *(row.metrics for row in found)])


def _cells(values: Mapping[str, object], keys: Sequence[str]) -> list[str]:
    return [value_text(values[key]) if key in values else "" for key in keys]


def _rounded(values: Mapping[str, object], keys: Sequence[str]) -> list[str]:
    return [_rounded_text(values[key]) if key in values else "" for key in keys]


def _rounded_text(value: object) -> str:
    return f"{value:.{METRIC_DIGITS}g}" if isinstance(value, float) else value_text(value)
