"""All of one experiment."""

import time
from collections.abc import Iterator

from expctl.render.lines import lines, value_text
from expctl.render.terminal import visible
from expctl.render.times import iso
from expproto.fields import to_map
from expproto.progress import RunProgress
from expproto.records import EntryRecord, OutputFile
from expproto.replies import Inspected


def document(found: Inspected) -> dict[str, object]:
    """Give what `show ID --json` says."""
    return {
        "name": found.name,
        "rev": found.rev,
        "baseline_rev": found.baseline_rev,
        "params": found.params,
        "changed": found.changed,
        "metrics": found.metrics,
        "outputs": [_output_document(output) for output in found.outputs],
        "entry": None if found.entry is None else _entry_document(found.entry),
        "context": found.context,
    }


def plain(found: Inspected, *, with_context: bool) -> str:
    """Give a record a fact: what it is, its key, its value."""
    return lines(_all_facts(found, with_context=with_context))


def page(found: Inspected, *, with_context: bool) -> str:
    """Give the same facts aligned, for a terminal."""
    facts = [tuple(map(visible, fact)) for fact in _all_facts(found, with_context=with_context)]
    widths = [max((len(fact[column]) for fact in facts if len(fact) > column + 1), default=0) for column in (0, 1)]
    return "".join(_aligned(fact, widths) + "\n" for fact in facts)


def _aligned(fact: tuple[str, ...], widths: list[int]) -> str:
    if len(fact) == 2:
        return f"{fact[0]:<{widths[0]}}  {fact[1]}".rstrip()
    return f"{fact[0]:<{widths[0]}}  {fact[1]:<{widths[1]}}  {'  '.join(fact[2:])}".rstrip()


def _all_facts(found: Inspected, *, with_context: bool) -> Iterator[tuple[str, ...]]:
    yield from _facts(found)
    if with_context and found.context is not None:
        from expctl.render.context import facts  # noqa: PLC0415 - for `inspect` alone

        yield from facts(found.context)


def _facts(found: Inspected) -> Iterator[tuple[str, ...]]:
    yield "name", found.name
    yield "rev", found.rev or ""
    yield "baseline", found.baseline_rev
    if found.entry is not None:
        yield from _entry_facts(found.entry)
    for key, value in found.params.items():
        yield ("changed" if key in found.changed else "param"), key, value_text(value)
    for key, value in found.metrics.items():
        yield "metric", key, value_text(value)
    for output in found.outputs:
        size = "" if output.size is None else str(output.size)
        yield "output", output.path, size, output.hash, output.home, output.role, output.stage or ""


def _entry_facts(entry: EntryRecord) -> Iterator[tuple[str, ...]]:
    yield "entry", str(entry.id)
    yield "state", entry.state.value
    if entry.outcome is not None:
        from expctl.fields import Fields  # noqa: PLC0415
        from expctl.render.outcomes import outcome_words  # noqa: PLC0415

        yield "outcome", outcome_words(Fields(to_map(entry.outcome)))
    if entry.attempt > 1 or entry.retries_left:
        yield "attempt", f"{entry.attempt}, {entry.retries_left} retries left"
    if entry.not_before is not None:
        yield "not before", iso(entry.not_before) or ""
    yield "stash", entry.stash_rev
    yield "submitted", iso(entry.submitted_at) or ""
    yield "started", iso(entry.started_at) or ""
    yield "ended", iso(entry.ended_at) or ""
    yield "log", entry.log or ""
    if entry.progress is not None and entry.experiment_rev is None:
        yield from _progress_facts(entry.progress)


def _progress_facts(progress: RunProgress) -> Iterator[tuple[str, ...]]:
    """How far it is, or was when it ended without a result: its metrics are in no commit."""
    from expctl.fields import Fields  # noqa: PLC0415
    from expctl.render.progress import time_words  # noqa: PLC0415

    if progress.total is not None:
        yield "progress", "stages", f"{progress.begun} of {progress.total}"
        yield "progress", "stages done", str(progress.done)
    for stage in progress.stages:
        yield "progress", "stage", stage.name, time_words(Fields(to_map(stage)), time.time())
    if progress.step is not None:
        yield "progress", "step", str(progress.step)
    for key, value in progress.metrics.items():
        yield "progress", f"metric {key}", value_text(value)


def _output_document(output: OutputFile) -> dict[str, object]:
    return {name: value for name, value in to_map(output).items() if name != "kind"}


def _entry_document(entry: EntryRecord) -> dict[str, object]:
    """Give the entry as `status --json` has it."""
    from expctl.fields import Entry, Fields  # noqa: PLC0415
    from expctl.render.entries import entry_document  # noqa: PLC0415

    return entry_document(Entry(Fields(to_map(entry))))
