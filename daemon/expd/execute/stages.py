"""The stages of a pipeline, gone through: examined, restored from the cache or run, recorded."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from expd.execute.commands import run_command
from expd.execute.flights import Flights
from expd.execute.pulling import Puller
from expd.execute.runlog import RunLog
from expd.execute.scheduling import Schedule
from expd.execute.timings import command_hash
from expd.pipeline.changes import Changed, Frozen, Restorable, Unchanged, Verdict
from expd.pipeline.commands import shell_commands
from expd.pipeline.model import MissingDependencyError, PipelineError, Stage
from expd.pipeline.project import Project, StageRecord
from expd.pipeline.targets import Scope
from expproto.stage_options import DEFAULT_STAGE_OPTIONS, OnFailure, Reach, StageOptions


class CommandEnded(Exception):
    """A command of `stage` ended badly: `return_code` as subprocess has it, negative for a signal."""

    def __init__(self, stage: str, return_code: int) -> None:
        how = f"exited with {return_code}" if return_code >= 0 else f"was killed by signal {-return_code}"
        super().__init__(f"a command of stage '{stage}' {how}")
        self.stage = stage
        self.return_code = return_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every command of a run gets: its environment, the log, and whom to tell that a stage starts."""

    environment: Mapping[str, str]
    log: RunLog
    flights: Flights
    tell_stage: Callable[[str], Awaitable[None]]
    force: bool = False
    """Run every stage, whatever is known of it."""
    options: StageOptions = DEFAULT_STAGE_OPTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class StagesDone:
    """What was gone through (`visited`), and what of it was not up to date (`ran`: it names the experiment as DVC does)."""

    visited: tuple[StageRecord, ...]
    ran: tuple[StageRecord, ...]


async def run_stages(project: Project, targets: tuple[str, ...], surroundings: Surroundings) -> StagesDone:
    """Go through the stages in order; raises CommandEnded, PipelineError or OSError of the first that failed.

    With --keep-going it is raised at the end, with --ignore-errors not at all.
    """
    options = surroundings.options
    scope = Scope(reach=options.reach, recursive=options.recursive)
    order = await trio.to_thread.run_sync(lambda: project.order(targets, scope))
    surroundings.log.timings.total = len(order)
    puller = Puller(project, surroundings.environment, surroundings.log) if options.pull else None
    if puller is not None:
        await puller.pull_ahead(order, allow_missing=options.allow_missing, is_forced=surroundings.force)
    # Where a failure is not the end of the run, missing data is the failure of the stage that reads it.
    allow_missing = options.allow_missing or options.on_failure is not OnFailure.STOP
    await trio.to_thread.run_sync(lambda: project.link_data_sources(order, allow_missing=allow_missing))
    return await _Walk(project, order, surroundings, puller).go()


class _Walk:
    """One way through the stages of a run."""

    def __init__(self, project: Project, order: list[Stage], surroundings: Surroundings, puller: Puller | None) -> None:
        options = surroundings.options
        readers = {} if options.reach is Reach.SINGLE else project.graph.consumers()
        addresses = [stage.address for stage in order]
        self._project = project
        self._stages = dict(zip(addresses, order, strict=True))
        self._surroundings = surroundings
        self._puller = puller
        self._schedule = Schedule(addresses, readers, options, force=surroundings.force)
        self._visited: list[StageRecord] = []
        self._ran: list[StageRecord] = []
        self._first_failure: CommandEnded | PipelineError | OSError | None = None

    async def go(self) -> StagesDone:
        """Go through all that can be gone through."""
        while (address := self._schedule.start_next()) is not None:
            await self._visit(self._stages[address])
        if self._first_failure is not None and self._surroundings.options.on_failure is not OnFailure.IGNORE:
            raise self._first_failure
        return StagesDone(visited=tuple(self._visited), ran=tuple(self._ran))

    async def _visit(self, stage: Stage) -> None:
        try:
            record, has_run = await self._go_through(stage)
        except (CommandEnded, PipelineError, OSError) as error:
            await self._take_failure(stage, error)
            return
        self._schedule.end(stage.address, has_run=has_run)
        if record is not None:
            self._visited.append(record)
        if record is not None and has_run:
            self._ran.append(record)

    async def _take_failure(self, stage: Stage, error: CommandEnded | PipelineError | OSError) -> None:
        """Keep the first failure, and say what it means for the others; where it ends the run, its outcome says it."""
        self._first_failure = self._first_failure or error
        skipped = [self._project.address(self._stages[address]) for address in self._schedule.fail(stage.address)]
        name = self._project.address(stage)
        match self._surroundings.options.on_failure:
            case OnFailure.KEEP_GOING:
                self._surroundings.log.note(f"Stage '{name}' failed: {error}")
                for dependent in skipped:
                    self._surroundings.log.note(f"Stage '{dependent}' is skipped, because '{name}' failed")
            case OnFailure.IGNORE:
                self._surroundings.log.note(f"Stage '{name}' failed, which is ignored: {error}")
                if isinstance(error, MissingDependencyError):  # else its metrics of the baseline would be the result
                    await trio.to_thread.run_sync(self._project.clear_outputs, stage)
            case OnFailure.STOP:
                pass

    async def _go_through(self, stage: Stage) -> tuple[StageRecord | None, bool]:
        """Bring one stage up to date; gives its record, and whether DVC would say that it ran (restored or not)."""
        while True:
            verdict = await self._examine(stage)
            is_shared = isinstance(verdict, Changed) and not self._schedule.is_forced(stage.address)
            key = await trio.to_thread.run_sync(self._project.flight_key, stage) if is_shared else None
            if key is None:
                return await self._settle(stage, verdict)
            flight = await trio.to_thread.run_sync(self._surroundings.flights.try_start, key)
            if flight is not None:
                break
            await self._wait_for(stage, key)
        with flight.held():
            if await trio.to_thread.run_sync(self._project.has_run, key):  # somebody landed since we looked
                verdict = await self._examine(stage)
            return await self._settle(stage, verdict)

    async def _wait_for(self, stage: Stage, key: str) -> None:
        """Wait until another run has done with this stage, or has ended otherwise."""
        name, log = self._project.address(stage), self._surroundings.log

        def tell(holder: str) -> None:
            log.note(f"Stage '{name}' waits for {holder or 'another run'}, which runs it now with the same inputs")

        await self._surroundings.flights.wait_until_free(key, tell)

    async def _settle(self, stage: Stage, verdict: Verdict) -> tuple[StageRecord | None, bool]:
        """Do what the verdict says."""
        project, log = self._project, self._surroundings.log
        name = project.address(stage)
        match verdict:
            case Unchanged():
                log.skipped(name)
                return _record_as_locked(project, stage), False
            case Restorable(source=source):
                with log.restored(name, source):
                    await trio.to_thread.run_sync(project.restore, stage, verdict)
                # What dvc.lock knows of is there from the beginning where DVC runs an experiment: it did not run.
                return await trio.to_thread.run_sync(project.record, stage), source == "run cache"
            case Frozen():
                log.frozen(name)
                return await trio.to_thread.run_sync(project.record, stage), True
            case Changed():
                await self._run_stage(stage, name)
                return await trio.to_thread.run_sync(project.record, stage), True

    async def _examine(self, stage: Stage) -> Verdict:
        """Find out what is to be done about a stage, pulling what it lacks if that is wanted."""
        force, allow_missing = self._schedule.is_forced(stage.address), self._surroundings.options.allow_missing

        def examine() -> Verdict:
            self._project.bring_back(stage, everything=allow_missing)
            return self._project.examine(stage, force=force, allow_missing=allow_missing)

        if self._puller is None or force:
            return await trio.to_thread.run_sync(examine)
        return await self._puller.examine(stage, examine)

    async def _run_stage(self, stage: Stage, name: str) -> None:
        surroundings = self._surroundings
        await surroundings.tell_stage(name)
        await trio.to_thread.run_sync(self._project.clear_outputs, stage)
        environment = {**surroundings.environment, "DVC_STAGE": name, "PWD": stage.wdir}
        commands = shell_commands(stage, environment)
        log = surroundings.log
        with log.running(name, command_hash(argv[-1] for argv in commands)) as times:
            for argv in commands:
                log.command(name, argv[-1])
                times.command = argv[-1]
                times.exit_code = await run_command(argv, Path(stage.wdir), environment, log.descriptor, times)
                if times.exit_code != 0:
                    raise CommandEnded(name, times.exit_code)


def _record_as_locked(project: Project, stage: Stage) -> StageRecord | None:
    entry = project.lock_entry(stage)
    return None if entry is None else project.record_of(stage, entry)
