"""What changed since a stage last ended well (dvc/stage/__init__.py, dvc/output.py, dvc/dependency/param.py).

Promise: pure functions over what was observed; no file is read here. Reasons come in DVC's order, and the later, more
expensive questions need not be observed once an earlier one is answered.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from expd.pipeline.lockentry import LockEntry
from expd.pipeline.model import Fingerprint, ParamsDependency, Stage

ReasonKind: TypeAlias = Literal["command", "always", "forced", "dependency", "parameter", "output"]
ReasonState: TypeAlias = Literal["changed", "new", "modified", "deleted", "not in cache"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a stage is not up to date: the kind of thing, which one, and what is wrong with it."""

    kind: ReasonKind
    subject: str = ""
    state: ReasonState = "changed"


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Restorable:
    """The outputs of this very stage are in the cache: nothing needs to run. `source` says who knew it."""

    entry: LockEntry
    source: Literal["lock", "run cache"]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """The commands have to run."""

    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Frozen:
    """A frozen stage that is not as recorded: it does not run; what its outputs are now is recorded."""

    reasons: tuple[Reason, ...]


Verdict: TypeAlias = Unchanged | Restorable | Changed | Frozen


def is_missing(reason: Reason) -> bool:
    """Whether it is about something that is merely not there: a file that is gone, an object the cache lacks."""
    is_file = reason.kind in {"dependency", "output"} or (reason.kind == "parameter" and ":" not in reason.subject)
    return is_file and reason.state in {"deleted", "not in cache"}


def command_reasons(stage: Stage, entry: LockEntry | None) -> tuple[Reason, ...]:
    """Whether the commands differ from the recorded ones; text and a list of one are different, as in DVC."""
    if entry is not None and entry.commands != stage.commands:
        return (Reason("command", stage.name),)
    return ()


def always_reasons(stage: Stage) -> tuple[Reason, ...]:
    """Whether the stage runs whatever happened."""
    return (Reason("always", stage.name),) if stage.always_changed or stage.is_callback else ()


def dependency_reasons(
    stage: Stage, entry: LockEntry | None, observed: Mapping[str, Fingerprint | None]
) -> Iterator[Reason]:
    """Which dependencies are missing or differ; `observed` is by path, None where nothing is."""
    recorded = {} if entry is None else entry.deps
    for dependency in stage.deps:
        fingerprint = observed[dependency.path]
        if fingerprint is None:
            yield Reason("dependency", dependency.path, "deleted")
        elif not fingerprint.same_content(recorded.get(dependency.path)):
            yield Reason("dependency", dependency.path, "modified")


def parameter_reasons(
    stage: Stage, entry: LockEntry | None, observed: Mapping[str, Mapping[str, object] | None]
) -> Iterator[Reason]:
    """Which parameters are missing, new or differ; `observed` is by file, None where there is no file."""
    for dependency in stage.params:
        values = observed[dependency.path]
        if values is None:
            yield Reason("parameter", dependency.path, "deleted")
        elif entry is None or dependency.path not in entry.params:
            yield Reason("parameter", dependency.path, "new")
        else:
            yield from _value_reasons(dependency, values, entry.params[dependency.path])


def _value_reasons(
    dependency: ParamsDependency, values: Mapping[str, object], recorded: Mapping[str, object]
) -> Iterator[Reason]:
    for key in dependency.keys or dict.fromkeys([*values, *recorded]):
        subject = f"{dependency.path}:{key}"
        if key not in values:
            yield Reason("parameter", subject, "deleted")
        elif key not in recorded:
            yield Reason("parameter", subject, "new")
        elif not same_value(values[key], recorded[key]):
            yield Reason("parameter", subject, "modified")


def same_value(now: object, recorded: object) -> bool:
    """Python's equality, so that 2 is 2.0 and '2' is not 2; a tuple, which no lock can hold, equals its list."""
    return now == recorded or (isinstance(now, tuple) and list(now) == recorded)


def output_reasons(
    stage: Stage, entry: LockEntry | None, observed: Mapping[str, Fingerprint | None], cached: Mapping[str, bool]
) -> Iterator[Reason]:
    """Which outputs are missing or differ; `cached` says, by path, whether the recorded object is in the cache."""
    recorded = {} if entry is None else entry.outs
    for out in stage.outs:
        fingerprint = observed[out.path]
        if out.path in recorded and out.cache and not cached[out.path]:
            yield Reason("output", out.path, "not in cache")
        elif fingerprint is None:
            yield Reason("output", out.path, "deleted")
        elif not fingerprint.same_content(recorded.get(out.path)):
            yield Reason("output", out.path, "modified")
