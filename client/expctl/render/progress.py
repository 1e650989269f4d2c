"""How far a run is, for people and programs."""

from __future__ import annotations

from expctl.fields import Fields
from expctl.render.lines import value_text
from expctl.render.times import iso, span

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Iterator

_METRICS_SHOWN = 2
"""In a cell of a table; `show ID` and JSON have all."""


def progress_document(progress: Fields | None) -> dict[str, object] | None:
    """Give what `--json` says of it."""
    if progress is None:
        return None
    return {
        "begun": progress.integer("begun"),
        "done": progress.integer("done"),
        "total": progress.integer_or_none("total"),
        "stages": [
            {
                "name": stage.text("name"),
                "started_at": iso(stage.seconds("started_at")),
                "estimate_seconds": stage.seconds_or_none("estimate_seconds"),
            }
            for stage in progress.records("stages")
        ],
        "step": progress.integer_or_none("step"),
        "metrics": progress.mapping("metrics"),
    }


def progress_words(progress: Fields, now: float) -> Iterator[str]:
    """Say it in phrases: `prepare, train 2/3`, `12s of about 40s`, `step 7`, `loss=0.2`."""
    stages = progress.records("stages")
    if stages:
        yield stages_words(progress)
        yield time_words(stages[0], now)
    step = progress.integer_or_none("step")
    if step is not None:
        yield f"step {step}"
    for key, value in list(progress.mapping("metrics").items())[:_METRICS_SHOWN]:
        yield f"{key}={value:.5g}" if isinstance(value, float) else f"{key}={value_text(value)}"


def stages_words(progress: Fields) -> str:
    """Name the stages under way, and say how many of how many have begun: `train 2/3`; a single command has no count."""
    names = ", ".join(stage.text("name") for stage in progress.records("stages"))
    total = progress.integer_or_none("total")
    return names if total is None else f"{names} {progress.integer('begun')}/{total}"


def time_words(stage: Fields, now: float) -> str:
    """Say how long a stage has taken, and how long it took before: `12s of about 40s`."""
    estimate = stage.seconds_or_none("estimate_seconds")
    elapsed = span(now - stage.seconds("started_at"))
    return elapsed if estimate is None else f"{elapsed} of about {span(estimate)}"
