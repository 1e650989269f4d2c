"""Entries of the queue, for people, programs and scripts."""

from __future__ import annotations

import time

from expctl.fields import Entry
from expctl.render.lines import lines, pairs_text
from expctl.render.outcomes import outcome_words
from expctl.render.progress import progress_document, progress_words
from expctl.render.times import duration, iso, span

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEADING = ("id", "name", "state", "outcome", "age", "duration", "waits for")


def ids(entries: Sequence[Entry]) -> str:
    """Give the ids, one a line."""
    return "".join(f"{entry.id}\n" for entry in entries)


def submitted_lines(entries: Sequence[Entry]) -> str:
    """Give id, name, state and the parameters that were set."""
    return lines((str(entry.id), entry.name, entry.state, pairs_text(entry.params)) for entry in entries)


def submitted_rows(entries: Sequence[Entry]) -> str:
    """Give the same in aligned columns: short enough to need no table, which would cost four times the submission."""
    from expctl.render.terminal import visible  # noqa: PLC0415

    rows = [(str(entry.id), visible(entry.name), entry.state, visible(pairs_text(entry.params))) for entry in entries]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)


def status_lines(entries: Sequence[Entry]) -> str:
    """Give id, name, state, outcome, time of submission, duration in seconds and what it waits for."""
    now = time.time()
    return lines(
        (
            str(entry.id),
            entry.name,
            entry.state,
            outcome_words(entry.outcome),
            iso(entry.submitted_at) or "",
            _seconds(duration(entry.started_at, entry.ended_at, now)),
            entry.waits_for or "",
        )
        for entry in entries
    )


def status_rows(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """Give the cells of a table under HEADING."""
    now = time.time()
    return [
        (
            str(entry.id),
            entry.name,
            _state_words(entry, now),
            outcome_words(entry.outcome),
            span(now - entry.submitted_at),
            span(duration(entry.started_at, entry.ended_at, now)),
            waiting_words(entry, now),
        )
        for entry in entries
    ]


def submitted_document(entry: Entry) -> dict[str, object]:
    """Give what `submit --json` says of one entry."""
    return {
        "id": entry.id,
        "name": entry.name,
        "state": entry.state,
        "baseline_rev": entry.baseline_rev,
        "stash_rev": entry.stash_rev,
        "params": entry.params,
    }


def entry_document(entry: Entry) -> dict[str, object]:
    """Give what `status --json` says of one entry."""
    return {
        **submitted_document(entry),
        "outcome": None if entry.outcome is None else entry.outcome.kind,
        "reason": outcome_words(entry.outcome) or None,
        "experiment_rev": entry.experiment_rev,
        "submitted_at": iso(entry.submitted_at),
        "started_at": iso(entry.started_at),
        "ended_at": iso(entry.ended_at),
        "exit_code": entry.exit_code,
        "submission": entry.submission,
        "repository": entry.repository,
        "command": entry.command,
        "stage": entry.stage,
        "progress": progress_document(entry.progress),
        "mode": entry.mode,
        "priority": entry.priority,
        "group": entry.group,
        "attempt": entry.attempt,
        "retries_left": entry.retries_left,
        "earlier_outcome": None if entry.earlier_outcome is None else entry.earlier_outcome.kind,
        "waits_for": entry.waits_for,
        "engine": entry.engine,
        "host": entry.host,
        "not_before": iso(entry.not_before),
        "log": entry.log,
    }


def entries_document(entries: Sequence[Entry]) -> Mapping[str, object]:
    """Give the document of a list of entries."""
    return {"entries": [entry_document(entry) for entry in entries]}


def waiting_words(entry: Entry, now: float) -> str:
    """Say what an entry waits for, with how long it is still if it is its time, and after what if it is a retry."""
    words = entry.waits_for or ""
    if entry.not_before is not None:
        words = f"{words} in {span(max(0.0, entry.not_before - now))}"
    if words and entry.earlier_outcome is not None:
        words = f"{words}, after {outcome_words(entry.earlier_outcome)}"
    return words


def _state_words(entry: Entry, now: float) -> str:
    words = entry.state
    if entry.state == "running" and entry.progress is not None:
        words = f"{words}: {', '.join(progress_words(entry.progress, now))}"
    elif entry.state == "running" and entry.stage:
        words = f"{words}: {entry.stage}"
    return words if entry.attempt == 1 else f"{words} (attempt {entry.attempt})"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
