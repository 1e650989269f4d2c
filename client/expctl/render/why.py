"""Why an entry is as it is: facts, the last lines of its log, and what to try."""

import re
import time
from collections.abc import Iterator

from expctl.fields import Entry, Fields
from expctl.hints import hints
from expctl.render.entries import entry_document, waiting_words
from expctl.render.lines import lines, value_text
from expctl.render.outcomes import outcome_words
from expctl.render.progress import time_words
from expctl.render.terminal import Sanitizer, visible
from expctl.render.times import iso, span
from expproto.fields import to_map
from expproto.records import AttemptRecord
from expproto.replies import TAIL_BYTES, Diagnosed

LINES_MAX = 15
"""Of the log: what fits on a screen beside the rest."""
_MIB = 1024 * 1024
_COLOUR = re.compile("\x1b\\[[0-9;:]*m")
"""The one escape that a Sanitizer lets through."""


def document(found: Diagnosed) -> dict[str, object]:
    """Give what `why --json` says."""
    return {
        "entry": entry_document(_entry(found)),
        "detail": None if found.entry.outcome is None else to_map(found.entry.outcome),
        "phase": found.phase,
        "stage": found.stage,
        "command": found.command,
        "seconds": found.seconds,
        "usage": None if found.usage is None else {key: item for key, item in to_map(found.usage).items() if key != "kind"},
        "oom_kills": found.oom_kills,
        "kept": found.kept,
        "log_bytes": found.log_bytes,
        "last_lines": last_lines(found),
        "attempts": [_attempt_document(attempt) for attempt in found.attempts],
        "hints": hints(found, last_lines(found)),
    }  # fmt: skip


def plain(found: Diagnosed) -> str:
    """Give a record a fact: what it is, and its value."""
    return lines(_facts(found))


def page(found: Diagnosed) -> str:
    """Give the same, aligned, for a terminal."""
    facts = list(_facts(found))
    width = max(len(name) for name, _value in facts)
    text, before = "", ""
    for name, value in facts:
        text += f"{'' if name == before else name:<{width}}  {visible(value)}".rstrip() + "\n"
        before = name
    return text


def last_lines(found: Diagnosed) -> list[str]:
    """Give the last lines of the log, with nothing in them that a terminal would act upon."""
    sanitizer = Sanitizer()
    text = _COLOUR.sub("", sanitizer.feed(found.tail) + sanitizer.finish())
    found_lines = text.splitlines()
    if found.log_bytes > TAIL_BYTES and len(found_lines) > 1:
        found_lines = found_lines[1:]  # the first is cut
    return found_lines[-LINES_MAX:]


def _facts(found: Diagnosed) -> Iterator[tuple[str, str]]:
    entry = _entry(found)
    yield "entry", f"{entry.id} {entry.name}"
    yield "state", entry.state
    if entry.outcome is not None:
        yield "outcome", outcome_words(entry.outcome)
        asked_at = entry.outcome.seconds_or_none("at") if entry.outcome.kind == "cancelled" else None
        yield from _known(("asked for", iso(asked_at)))
    yield from _known(("ended", iso(entry.ended_at)), ("waits for", waiting_words(entry, time.time()) or None))
    yield from _attempts(found)
    yield from _known(("phase", found.phase), ("stage", found.stage), ("command", found.command))
    yield from _known(("exit code", None if entry.exit_code is None else str(entry.exit_code)))
    yield from _taken(found)
    yield from _reached(entry)
    yield from _known(("kept", found.kept), ("log", entry.log))
    said = last_lines(found)
    for line in said:
        yield "last lines", line
    for hint in hints(found, said):
        yield "try", hint


def _attempts(found: Diagnosed) -> Iterator[tuple[str, str]]:
    """Tell which attempt this is of how many, where there is more than one or may be."""
    entry = found.entry
    if len(found.attempts) < 2 and entry.attempt == 1 and not entry.retries_left:
        return
    left = f", {entry.retries_left} retries left" if entry.retries_left else ""
    yield "attempt", f"{entry.attempt}{left}"
    for attempt in found.attempts:
        if attempt.number != entry.attempt and attempt.outcome is not None:
            yield "attempts", f"{attempt.number}: {outcome_words(Fields(to_map(attempt.outcome)))}"


def _attempt_document(attempt: AttemptRecord) -> dict[str, object]:
    return {
        "number": attempt.number,
        "outcome": None if attempt.outcome is None else attempt.outcome.kind,
        "detail": None if attempt.outcome is None else to_map(attempt.outcome),
        "started_at": iso(attempt.started_at),
        "ended_at": iso(attempt.ended_at),
        "log": attempt.log,
    }


def _known(*facts: tuple[str, str | None]) -> Iterator[tuple[str, str]]:
    yield from ((name, value) for name, value in facts if value is not None)


def _taken(found: Diagnosed) -> Iterator[tuple[str, str]]:
    entry = found.entry
    if found.seconds is not None:
        yield "time", span(found.seconds)
    elif entry.started_at is not None:
        yield "time", span((entry.ended_at or time.time()) - entry.started_at)
    if found.usage is not None:
        yield "processor", span(found.usage.user_seconds + found.usage.system_seconds)
        yield "memory", f"{found.usage.rss_bytes_max / _MIB:.0f} MiB at most, in one process"


def _reached(entry: Entry) -> Iterator[tuple[str, str]]:
    """How far the run is, or was: the metrics of one that failed are in no commit."""
    progress = entry.progress
    if progress is None:
        return
    total = progress.integer_or_none("total")
    if total is not None:
        yield "stages done", f"{progress.integer('done')} of {total}"
    for stage in progress.records("stages"):
        yield "under way", f"{stage.text('name')}: {time_words(stage, time.time())}"
    step = progress.integer_or_none("step")
    yield from _known(("step", None if step is None else str(step)))
    for key, value in progress.mapping("metrics").items():
        yield "metric", f"{key}={value_text(value)}"


def _entry(found: Diagnosed) -> Entry:
    return Entry(Fields(to_map(found.entry)))
