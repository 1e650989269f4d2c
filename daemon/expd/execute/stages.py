"""The stages of a pipeline, one after the other: examined, restored from the cache or run, recorded."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from expd.execute.commands import run_command
from expd.execute.runlog import RunLog
from expd.execute.timings import command_hash
from expd.pipeline.changes import Changed, Frozen, Restorable, Unchanged
from expd.pipeline.commands import shell_commands
from expd.pipeline.model import Stage
from expd.pipeline.project import Project, StageRecord


class CommandEnded(Exception):
    """A command of `stage` ended badly: `return_code` as subprocess has it, negative for a signal."""

    def __init__(self, stage: str, return_code: int) -> None:
        super().__init__(f"{stage}: {return_code}")
        self.stage = stage
        self.return_code = return_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every command of a run gets: its environment, the log, and whom to tell that a stage starts."""

    environment: Mapping[str, str]
    log: RunLog
    tell_stage: Callable[[str], Awaitable[None]]
    force: bool = False
    """Run every stage, whatever is known of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagesDone:
    """What was gone through (`visited`), and what of it was not up to date (`ran`: it names the experiment as DVC does)."""

    visited: tuple[StageRecord, ...]
    ran: tuple[StageRecord, ...]


async def run_stages(project: Project, targets: tuple[str, ...], surroundings: Surroundings) -> StagesDone:
    """Go through the stages in order; raises CommandEnded at the first that fails, or PipelineError."""
    order = await trio.to_thread.run_sync(lambda: project.order(targets))
    await trio.to_thread.run_sync(project.link_data_sources, order)
    visited, ran = [], []
    for stage in order:
        record, has_run = await _go_through(project, stage, surroundings)
        if record is not None:
            visited.append(record)
        if record is not None and has_run:
            ran.append(record)
    return StagesDone(visited=tuple(visited), ran=tuple(ran))


async def _go_through(project: Project, stage: Stage, surroundings: Surroundings) -> tuple[StageRecord | None, bool]:
    """Bring one stage up to date; gives its record, and whether DVC would say that it ran (restored or not)."""
    name = project.address(stage)
    verdict = await trio.to_thread.run_sync(lambda: project.examine(stage, force=surroundings.force))
    match verdict:
        case Unchanged():
            surroundings.log.skipped(name)
            return _record_as_locked(project, stage), False
        case Restorable(source=source):
            with surroundings.log.restored(name, source):
                await trio.to_thread.run_sync(project.restore, stage, verdict)
            return await trio.to_thread.run_sync(project.record, stage), True
        case Frozen():
            surroundings.log.frozen(name)
            return await trio.to_thread.run_sync(project.record, stage), False
        case Changed():
            await _run_stage(project, stage, name, surroundings)
            return await trio.to_thread.run_sync(project.record, stage), True


def _record_as_locked(project: Project, stage: Stage) -> StageRecord | None:
    entry = project.lock_entry(stage)
    return None if entry is None else project.record_of(stage, entry)


async def _run_stage(project: Project, stage: Stage, name: str, surroundings: Surroundings) -> None:
    await surroundings.tell_stage(name)
    await trio.to_thread.run_sync(project.clear_outputs, stage)
    environment = {**surroundings.environment, "DVC_STAGE": name, "PWD": stage.wdir}
    commands = shell_commands(stage, environment)
    with surroundings.log.running(name, command_hash(argv[-1] for argv in commands)) as times:
        for argv in commands:
            surroundings.log.command(name, argv[-1])
            times.exit_code = await run_command(argv, Path(stage.wdir), environment, surroundings.log.descriptor, times)
            if times.exit_code != 0:
                raise CommandEnded(name, times.exit_code)
