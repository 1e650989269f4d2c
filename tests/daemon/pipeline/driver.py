"""Reproduces a project through the room's door, in order, one process a command: what the worker does, without a daemon."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from expd.pipeline.cache import Cache
from expd.pipeline.changes import Changed, Frozen, Restorable, Unchanged, Verdict
from expd.pipeline.commands import shell_commands
from expd.pipeline.config import cache_directory, read_config
from expd.pipeline.model import PipelineError, Stage
from expd.pipeline.project import Project, StageRecord, open_project
from expd.pipeline.targets import Scope
from expproto.stage_options import Reach

_REACH: Mapping[str, Reach] = {
    "-s": Reach.SINGLE,
    "-p": Reach.PIPELINE,
    "-P": Reach.EVERYTHING,
    "--downstream": Reach.DOWNSTREAM,
}
_WORDS = {Unchanged: "unchanged", Restorable: "restored", Frozen: "frozen", Changed: "ran"}


@dataclass
class Reproduction:
    """What one reproduction did: (word, stage) in order, the records, and the error that ended it early."""

    steps: list[tuple[str, str]] = field(default_factory=list)
    records: list[StageRecord] = field(default_factory=list)
    error: PipelineError | subprocess.CalledProcessError | None = None


def a_cache(root: Path) -> Cache:
    """The cache that the project's configuration asks for."""
    config = read_config(root, {})
    return Cache(cache_directory(root, {}), types=config.cache_types, shared=config.cache_shared)


def a_project(root: Path, directory: Path | None = None) -> Project:
    """The project at `root`, seen from `directory`."""
    return open_project(root, directory or root, cache=a_cache(root), parsing=read_config(root, {}).parsing)


def reproduce(root: Path, arguments: Sequence[str] = (), directory: Path | None = None) -> Reproduction:
    """Do what `dvc repro <arguments>` does in `directory`."""
    done = Reproduction()
    try:
        project = a_project(root, directory)
        targets = [argument for argument in arguments if not argument.startswith("-")]
        reach = next((_REACH[argument] for argument in arguments if argument in _REACH), Reach.UPSTREAM)
        stages = project.order(targets, Scope(reach=reach, recursive="-R" in arguments))
        project.link_data_sources(stages)
        for stage in stages:
            verdict = project.examine(stage, force="-f" in arguments, allow_missing="--allow-missing" in arguments)
            _reproduce_stage(project, stage, verdict, done)
    except (PipelineError, subprocess.CalledProcessError) as error:
        done.error = error
    return done


def _reproduce_stage(project: Project, stage: Stage, verdict: Verdict, done: Reproduction) -> None:
    done.steps.append((_WORDS[type(verdict)], project.address(stage)))
    if isinstance(verdict, Unchanged):
        return
    _act(project, stage, verdict)
    done.records.append(project.record(stage))


def _act(project: Project, stage: Stage, verdict: Verdict) -> None:
    if isinstance(verdict, Restorable):
        project.restore(stage, verdict)
    elif isinstance(verdict, Changed):
        project.clear_outputs(stage)
        environ = {**os.environ, "DVC_STAGE": project.address(stage), "DVC_ROOT": project.root}
        for command in shell_commands(stage, environ):
            subprocess.run(command, cwd=stage.wdir, env=environ, check=True, capture_output=True)
