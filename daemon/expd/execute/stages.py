"""The stages of a pipeline, gone through: examined, restored from the cache or run, recorded.

Several may be under way at once. What they leave does not tell: .gitignore and dvc.lock are written in the order of the plan.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import trio

from expd.execute.begun import BegunStages
from expd.execute.commands import StartFailed, run_command
from expd.execute.flights import Flight, Flights
from expd.execute.freezing import Freezer
from expd.execute.patience import Patience
from expd.execute.pulling import Puller
from expd.execute.runlog import RunLog
from expd.execute.scheduling import Schedule
from expd.execute.timings import StageTimes, command_hash
from expd.execute.turns import Turns
from expd.pipeline.changes import Changed, Frozen, Restorable, Unchanged, Verdict
from expd.pipeline.commands import shell_commands
from expd.pipeline.model import MissingDependencyError, MissingOutputError, PipelineError, Stage
from expd.pipeline.project import Project, StageRecord
from expd.pipeline.targets import Scope
from expd.pipeline.waiting import waits
from expproto.stage_options import DEFAULT_STAGE_OPTIONS, OnFailure, Reach, StageOptions

T = TypeVar("T")


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
    patience: Patience
    freezer: Freezer
    force: bool = False
    """Run every stage, whatever is known of it."""
    options: StageOptions = DEFAULT_STAGE_OPTIONS
    stages: BegunStages = field(default_factory=lambda: BegunStages(None))
    """What earlier runs in this worktree have begun and finished."""
    note_data: Callable[[Iterable[str]], None] = lambda _locations: None
    """Hears where tracked data was put, before any command runs."""
    takes_back_ignores: bool = False
    """Take back what was added to .gitignore unless all went well, as DVC does; not where a later run may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagesDone:
    """What was gone through (`visited`), and what of it was not up to date (`ran`: it names the experiment as DVC does)."""

    visited: tuple[StageRecord, ...]
    ran: tuple[StageRecord, ...]


def plan_stages(project: Project, targets: tuple[str, ...], surroundings: Surroundings) -> list[Stage]:
    """Give the stages to go through in order, with their data in place unless that is pulled first; blocks.

    Raises PipelineError and OSError.
    """
    options = surroundings.options
    order = project.order(targets, Scope(reach=options.reach, recursive=options.recursive))
    surroundings.log.timings.total = len(order)
    if not options.pull:
        project.link_data_sources(order, allow_missing=_allows_missing(options))
        surroundings.note_data(project.data_locations())
    return order


def _allows_missing(options: StageOptions) -> bool:
    """Tell whether missing data may stay so: where a failure is not the end of the run, it is that of the stage which reads it."""
    return options.allow_missing or options.on_failure is not OnFailure.STOP


async def run_stages(project: Project, order: list[Stage], surroundings: Surroundings) -> StagesDone:
    """Go through planned stages in order; raises CommandEnded, PipelineError or OSError of the first that failed.

    It is raised when everything that was started has ended; with --keep-going at the end, with --ignore-errors not at all.
    """
    options = surroundings.options
    turns = Turns()
    puller = (
        Puller(project, turns, surroundings.environment, surroundings.log, surroundings.freezer)
        if options.pull
        else None
    )
    if puller is not None:
        await puller.pull_ahead(order, allow_missing=options.allow_missing, is_forced=surroundings.force)
        await trio.to_thread.run_sync(lambda: project.link_data_sources(order, allow_missing=_allows_missing(options)))
    return await _Walk(project, turns, order, surroundings, puller).go()


@dataclass(frozen=True, slots=True)
class _Looked:
    """What is to be done about a stage; the flight under which we do it, or the key of the one that another run has."""

    verdict: Verdict
    flight: Flight | None = None
    waits_for: str | None = None
    is_outdated: bool = False
    """Somebody landed between the look and the flight."""
    is_cleared: bool = False
    """Its commands can start: what they are to make is out of their way."""


class _Walk:
    """One way through the stages of a run."""

    def __init__(
        self, project: Project, turns: Turns, order: list[Stage], surroundings: Surroundings, puller: Puller | None
    ) -> None:
        options = surroundings.options
        readers = {} if options.reach is Reach.SINGLE else project.graph.consumers()
        waiting = waits(order, project.graph) if (options.stage_jobs or 1) > 1 else {}
        self._project = project
        self._turns = turns
        self._stages = {stage.address: stage for stage in order}
        self._surroundings = surroundings
        self._patience = surroundings.patience
        self._puller = puller
        self._schedule = Schedule(list(self._stages), readers, options, force=surroundings.force, waits=waiting)
        self._under_way: dict[str, None] = {}
        self._unwritten = dict.fromkeys(self._stages, False)  # in the order of the plan; True for what has ended
        self._kept = set[str]()
        self._half_made = set[str]()
        self._visited: dict[str, StageRecord] = {}
        self._ran = set[str]()
        self._first_failure: CommandEnded | PipelineError | OSError | None = None

    async def go(self) -> StagesDone:
        """Go through all that can be gone through."""
        is_cancelled = True
        try:
            async with trio.open_nursery() as nursery:
                self._start_all(nursery)
            is_cancelled = False
        finally:
            with trio.CancelScope(shield=True):  # of a run that is cancelled, what it has made is still known
                await self._close_anyway(*self._unwritten)
                if is_cancelled or self._failure is not None:
                    await self._take_back_ignores()
        if self._failure is not None:
            raise self._failure
        visited = tuple(self._visited[address] for address in self._stages if address in self._visited)
        return StagesDone(visited=visited, ran=tuple(record for record in visited if record.address in self._ran))

    @property
    def _failure(self) -> CommandEnded | PipelineError | OSError | None:
        """The failure that is the run's."""
        return None if self._surroundings.options.on_failure is OnFailure.IGNORE else self._first_failure

    async def _take_back_ignores(self) -> None:
        if not self._surroundings.takes_back_ignores:
            return
        try:
            await self._turns.take(self._project.take_back_ignores)
        except (PipelineError, OSError) as error:
            self._surroundings.log.note(f"expd: {error}")

    def _start_all(self, nursery: trio.Nursery) -> None:
        while (address := self._schedule.start_next()) is not None:
            nursery.start_soon(self._visit, self._stages[address], nursery)

    async def _visit(self, stage: Stage, nursery: trio.Nursery) -> None:
        """Go through one stage, and start what may start after it."""
        try:
            record, has_run = await self._go_through(stage)
        except (CommandEnded, PipelineError, OSError) as error:
            has_run, skipped = False, await self._take_failure(stage, error)
            await self._close_anyway(stage.address, *skipped)
        else:
            self._take_record(stage, record, has_run=has_run)
        self._schedule.end(stage.address, has_run=has_run)
        self._start_all(nursery)

    def _take_record(self, stage: Stage, record: StageRecord | None, *, has_run: bool) -> None:
        if record is not None:
            self._visited[stage.address] = record
        if record is not None and has_run:
            self._ran.add(stage.address)

    async def _close(self, *addresses: str) -> None:
        """Take note that stages have ended or will not start, and write down what only waited for them.

        For what there was no room it can be called again.
        """
        await self._turns.take(self._write_down, addresses)

    async def _close_anyway(self, *addresses: str) -> None:
        """Do the same where something has failed: what can't be written is one failure more, and keeps nothing else."""
        while self._unwritten:
            try:
                await self._close(*addresses)
                break
            except (PipelineError, OSError) as error:
                self._unwritten.pop(next(iter(self._unwritten), ""), None)
                self._first_failure = self._first_failure or error
                self._surroundings.log.note(f"expd: {error}")

    def _write_down(self, ended: tuple[str, ...]) -> None:
        """Write in the order of the plan, as far as it is through."""
        self._unwritten.update((address, True) for address in ended if address in self._unwritten)
        while (address := next(iter(self._unwritten), None)) is not None and self._unwritten[address]:
            if address in self._kept:
                self._project.write_down(self._stages[address])
            elif address in self._half_made:
                self._project.ignore_made(self._stages[address])
            del self._unwritten[address]

    async def _take_failure(self, stage: Stage, error: CommandEnded | PipelineError | OSError) -> list[str]:
        """Keep the first failure, and say what it means for the others; where it ends the run, its outcome says it.

        Gives the stages that are left out because of it.
        """
        is_first, self._first_failure = self._first_failure is None, self._first_failure or error
        left_out = self._schedule.fail(stage.address)
        name, log = self._project.address(stage), self._surroundings.log
        match self._surroundings.options.on_failure:
            case OnFailure.KEEP_GOING:
                log.note(f"Stage '{name}' failed: {error}")
                for address in left_out:
                    dependent = self._project.address(self._stages[address])
                    log.note(f"Stage '{dependent}' is skipped, because '{name}' failed")
            case OnFailure.IGNORE:
                log.note(f"Stage '{name}' failed, which is ignored: {error}")
                if isinstance(error, MissingOutputError):
                    self._half_made.add(stage.address)
                if isinstance(error, MissingDependencyError):  # else its metrics of the baseline would be the result
                    await self._turns.take(self._project.clear_outputs, stage)
            case OnFailure.STOP if self._under_way:
                log.note(f"Stage '{name}' failed: {error}; waiting for the end of {', '.join(self._under_way)}")
            case OnFailure.STOP if not is_first:
                log.note(f"Stage '{name}' failed as well: {error}")
            case OnFailure.STOP:
                pass
        return left_out

    async def _go_through(self, stage: Stage) -> tuple[StageRecord | None, bool]:
        """Bring one stage up to date; gives its record, and whether DVC would say that it ran (restored or not)."""
        while (looked := await self._look(stage)).waits_for is not None:
            await self._wait_for(stage, looked.waits_for)
        with nullcontext() if looked.flight is None else looked.flight.held():
            verdict = await self._examine(stage) if looked.is_outdated else looked.verdict
            return await self._settle(stage, verdict, is_cleared=looked.is_cleared)

    async def _look(self, stage: Stage) -> "_Looked":
        """Find out what is to be done about a stage, and see to it that nobody else does it meanwhile."""
        if self._puller is None or self._is_forced(stage):
            return await self._turns.take(lambda: self._take_flight(stage, self._examine_now(stage)))
        return await self._turns.take(self._take_flight, stage, await self._examine(stage))

    def _take_flight(self, stage: Stage, verdict: Verdict) -> "_Looked":
        """Take what others may wait for, or see that another run has it; what is to run is cleared. Blocks for a moment."""
        is_shared = isinstance(verdict, Changed) and not self._is_forced(stage)
        key = self._project.flight_key(stage) if is_shared else None
        flight = None if key is None else self._surroundings.flights.try_start(key)
        if key is not None and flight is None:
            return _Looked(verdict, waits_for=key)
        with ExitStack() as undo:
            if flight is not None:
                undo.callback(flight.give_back)
            is_outdated = key is not None and self._project.has_run(key)
            is_cleared = isinstance(verdict, Changed) and not is_outdated
            if is_cleared:
                self._clear(stage)
            undo.pop_all()
        return _Looked(verdict, flight, is_outdated=is_outdated, is_cleared=is_cleared)

    def _clear(self, stage: Stage) -> None:
        """Remove what a stage is to make; what an interrupted run in this worktree has made of it stays."""
        is_left = self._surroundings.stages.is_left(self._project.address(stage))
        (self._project.leave_outputs if is_left else self._project.clear_outputs)(stage)

    async def _wait_for(self, stage: Stage, key: str) -> None:
        """Wait until another run has done with this stage, or has ended otherwise."""
        name, log = self._project.address(stage), self._surroundings.log

        def tell(holder: str) -> None:
            log.note(f"Stage '{name}' waits for {holder or 'another run'}, which runs it now with the same inputs")

        await self._surroundings.flights.wait_until_free(key, tell)

    async def _settle(self, stage: Stage, verdict: Verdict, *, is_cleared: bool) -> tuple[StageRecord | None, bool]:
        """Do what the verdict says."""
        project, log = self._project, self._surroundings.log
        name = project.address(stage)
        match verdict:
            case Unchanged():
                log.skipped(name)
                return await self._in_turn(self._record_unchanged, stage), False
            case Restorable(source=source):
                with log.restored(name, source):
                    await self._turns.take(project.restore, stage, verdict)
                # What dvc.lock knows of is there from the beginning where DVC runs an experiment: it did not run.
                return await self._keep(stage), source == "run cache"
            case Frozen():
                log.frozen(name)
                return await self._keep(stage), True
            case Changed():
                if not is_cleared:
                    await self._turns.take(self._clear, stage)
                await self._run_stage(stage, name)
                record = await self._keep(stage)
                self._surroundings.stages.finish(name)
                return record, True

    async def _keep(self, stage: Stage) -> StageRecord:
        """Keep what a stage made; it is written down at once, or when its turn comes in the order of the plan."""
        return await self._in_turn(self._keep_now, stage)

    async def _in_turn(self, work: Callable[[Stage], T], stage: Stage) -> T:
        """Do what writes, as often as it takes where there is no room for it."""
        return await self._patience.keep_trying(lambda: self._turns.take(work, stage))

    def _keep_now(self, stage: Stage) -> StageRecord:
        """Do so, and write down what may be; for what there was no room all of it can be done again."""
        record = self._project.keep(stage)
        self._kept.add(stage.address)
        self._write_down((stage.address,))
        return record

    def _record_unchanged(self, stage: Stage) -> StageRecord | None:
        """Give what is recorded of a stage, which is all there is to do."""
        record = _record_as_locked(self._project, stage)
        self._write_down((stage.address,))
        return record

    def _is_forced(self, stage: Stage) -> bool:
        """Tell whether a stage runs whatever is known of it; one that an earlier run finished in this worktree does not."""
        name = self._project.address(stage)
        return self._schedule.is_forced(stage.address) and name not in self._surroundings.stages.finished

    async def _examine(self, stage: Stage) -> Verdict:
        """Find out what is to be done about a stage, pulling what it lacks if that is wanted."""
        if self._puller is None or self._is_forced(stage):
            return await self._turns.take(self._examine_now, stage)
        return await self._puller.examine(stage, lambda: self._examine_now(stage))

    def _examine_now(self, stage: Stage) -> Verdict:
        force, allow_missing = self._is_forced(stage), self._surroundings.options.allow_missing
        self._project.bring_back(stage, everything=allow_missing)
        return self._project.examine(stage, force=force, allow_missing=allow_missing)

    async def _run_stage(self, stage: Stage, name: str) -> None:
        self._under_way[name] = None
        try:
            await self._tell_stages()
            await self._run_commands(stage, name)
        finally:
            del self._under_way[name]
        if self._under_way:
            await self._tell_stages()

    async def _tell_stages(self) -> None:
        """Tell which stages run commands now."""
        await self._surroundings.tell_stage(", ".join(self._under_way))

    async def _run_commands(self, stage: Stage, name: str) -> None:
        surroundings = self._surroundings
        surroundings.stages.begin(name)
        environment = {**surroundings.environment, "DVC_STAGE": name, "PWD": stage.wdir}
        commands = shell_commands(stage, environment)
        log = surroundings.log
        with log.running(name, command_hash(argv[-1] for argv in commands)) as times:
            for argv in commands:
                log.command(name, argv[-1])
                times.command = argv[-1]
                times.exit_code = exit_code = await self._run_command(argv, stage, environment, times)
                if exit_code != 0:
                    raise CommandEnded(name, exit_code)

    async def _run_command(
        self, argv: Sequence[str], stage: Stage, environment: Mapping[str, str], times: StageTimes
    ) -> int:
        """Run one command; where no process can be started at the moment, it is tried again."""
        log, freezer = self._surroundings.log.descriptor, self._surroundings.freezer
        return await self._patience.keep_trying(
            lambda: run_command(argv, Path(stage.wdir), environment, log, freezer, accounts=times), (StartFailed,)
        )


def _record_as_locked(project: Project, stage: Stage) -> StageRecord | None:
    entry = project.lock_entry(stage)
    return None if entry is None else project.record_of(stage, entry)
