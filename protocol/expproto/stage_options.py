"""How a run goes through the stages of a pipeline: the options of `dvc exp run` and `dvc repro`, as one value.

It travels as it is from the command line to the worker, and is stored as one value; a new option is one more field.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

STAGE_JOBS_MAX = 256
"""Stages of one run at once: each is a process at least, and more is a mistyped number."""


class Reach(StrEnum):
    """How far to go from the targets: what they need (which DVC does unasked), or --single-item, --downstream,
    --pipeline, --all-pipelines.
    """

    UPSTREAM = "upstream"
    SINGLE = "single"
    DOWNSTREAM = "downstream"
    PIPELINE = "pipeline"
    EVERYTHING = "everything"


class OnFailure(StrEnum):
    """What a stage that fails means for the others: the end; the end of those that need it (--keep-going); nothing
    (--ignore-errors).
    """

    STOP = "stop"
    KEEP_GOING = "keep_going"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOptions:
    """The options of a run, with DVC's meaning.

    With `recursive` targets are directories. `force_downstream` runs what reads from a stage that ran. `pull` brings
    missing data through the user's own dvc; with `allow_missing` missing data counts as unchanged. `stage_jobs`, which
    DVC does not have, is how many stages that need nothing of each other run side by side; nil is what the settings say.
    """

    kind = "stage_options"
    reach: Reach = Reach.UPSTREAM
    recursive: bool = False
    force_downstream: bool = False
    on_failure: OnFailure = OnFailure.STOP
    pull: bool = False
    allow_missing: bool = False
    stage_jobs: int | None = None


DEFAULT_STAGE_OPTIONS = StageOptions()


def contradiction(options: StageOptions, targets: Sequence[str], command: Sequence[str] | None) -> str | None:
    """Say what makes no sense about these options together; None if they do. DVC ignores one side in silence."""
    if command is not None and options != DEFAULT_STAGE_OPTIONS:
        return "a command has no stages: options of a pipeline can't be given with it"
    if options.stage_jobs is not None and not 1 <= options.stage_jobs <= STAGE_JOBS_MAX:
        return f"--stage-jobs is a number from 1 to {STAGE_JOBS_MAX}, not {options.stage_jobs}"
    if options.reach is Reach.EVERYTHING and (targets or options.recursive):
        return "--all-pipelines takes no targets and no --recursive: it is everything"
    if options.recursive and not targets:
        return "--recursive needs a directory as target"
    if options.reach is Reach.SINGLE and options.force_downstream:
        return "--single-item and --force-downstream exclude each other"
    return None


def names_pipelines(options: StageOptions, targets: Sequence[str]) -> bool:
    """Tell whether these say by themselves where the pipelines are, whatever is in the directory they were typed in."""
    if options.reach is Reach.EVERYTHING or options.recursive:
        return True
    return bool(targets) and all(_is_path(target) for target in targets)


def _is_path(target: str) -> bool:
    file = target.partition(":")[0]
    return file.endswith((".dvc", "dvc.yaml", "expd.toml"))
