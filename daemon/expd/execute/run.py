"""One run from its order to its outcome: worktree, commands, experiment commit; whatever happens, it has an outcome.

The log is opened before anything else, so that an error of preparing stands in it as well as one of a command.
"""

import logging
import os
import shlex
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

import trio

from expd.collect.commit import CommitOrder, Harvest, command_message, commit_experiment
from expd.execute.begun import BegunStages, begun_path
from expd.execute.commands import INTERRUPTED, LEFT_BEHIND, StartFailed, end_tree, run_command
from expd.execute.confinement import Confinement
from expd.execute.environment import run_environment
from expd.execute.flights import Flights
from expd.execute.freezing import Freezer
from expd.execute.limits import Watch
from expd.execute.logcap import LogCap
from expd.execute.manifest import Manifest
from expd.execute.patience import Patience
from expd.execute.place import Place
from expd.execute.private_worktree import PrivateWorktree
from expd.execute.progress import DVCLIVE_METRICS, LiveMetrics
from expd.execute.runlog import RunLog
from expd.execute.stackdumps import abort_passed_over, ask_for_stacks
from expd.execute.stages import CommandEnded, StagesDone, Surroundings, plan_stages, run_stages
from expd.execute.timings import Timings, command_hash
from expd.execute.user_workspace import UserWorkspace
from expd.execute.worktree import new_files, tracked_changes
from expd.gitio.damage import with_damage
from expd.gitio.errors import GitFailed
from expd.gitio.repository import Repository, again_if_disturbed
from expd.gitio.slots import Slots
from expd.linux.cgroups import enter, leave, run_group
from expd.linux.inotify import Watcher
from expd.linux.scopes import scope_name
from expd.pipeline.cache import Cache
from expd.pipeline.config import DvcConfig, read_config
from expd.pipeline.datalinks import link_all_data
from expd.pipeline.graph import is_tracked
from expd.pipeline.memo import HashMemo
from expd.pipeline.model import COMMAND_STAGE, DATA_FILE_SUFFIX, LOCK_FILE, PipelineError, Stage
from expd.pipeline.project import Project, exp_hash, open_project
from expproto.limits import NO_LIMITS
from expproto.vocabulary import (
    Cancelled,
    Failed,
    Killed,
    Limit,
    NotStarted,
    Outcome,
    OutOfMemory,
    Refused,
    Rev,
    Succeeded,
    TimedOut,
)
from expproto.work import Collecting, Execute, Report, StageStarted

_journal = logging.getLogger("expd.execute")

T = TypeVar("T")

UNDECLARED_SHOWN = 10
"""Files named in the log that a command made and did not declare."""
_POINTERS_NAMED = 5


class Run:
    """One attempt: `execute` runs it, `cancel` ends it from another task."""

    def __init__(
        self,
        order: Execute,
        tell: Callable[[Report], Awaitable[None]],
        memo: HashMemo,
        patience: Patience,
        delegated: Path | None = None,
    ) -> None:
        self.order = order
        self._tell = tell
        self._patience = patience
        self._memo = memo
        self.timings = Timings()
        self.live = LiveMetrics()
        self._log: RunLog | None = None
        self._cap: LogCap | None = None
        self._log_opened = trio.Event()
        self._confined = trio.Event()
        self._opening = trio.CancelScope()
        self._scope = trio.CancelScope()
        self._end: Outcome | None = None
        self._signals: Sequence[signal.Signals] = INTERRUPTED
        self._confinement = Confinement(order.limits, scope_name(order.run, order.run_token))
        self.freezer = Freezer()
        self._watch = Watch(order.limits, self.timings, self._confinement, self.freezer, self._end_as)
        self._place: Place = PrivateWorktree(order) if order.captured_tree is None else UserWorkspace(order)
        self._worktree = self._place.directory
        self._user_git = Path(order.git_directory)
        self._delegated = delegated
        self._group: Path | None = None
        self._stages = BegunStages(begun_path(self._worktree) if order.captured_tree is None else None)
        self._beside: frozenset[str] = frozenset()
        self._data: frozenset[str] = frozenset()

    def cancel(self, reason: str, at: float | None = None, number: int | None = None) -> None:
        """End the run and all it started; its outcome will be Cancelled, unless it is being ended already.

        With a signal's `number` that one is sent instead of SIGINT and SIGTERM; after a grace SIGKILL follows in any case.
        """
        if number is not None and self._end is None:
            self._signals = () if number == signal.SIGKILL else (signal.Signals(number),)
        self._end_as(Cancelled(reason=reason, at=at))

    def _end_as(self, outcome: Outcome) -> None:
        if self._end is None and isinstance(outcome, OutOfMemory):
            self._signals = ()  # the kernel gives no grace either, in which more would be used
        self._end = self._end or outcome
        self.freezer.want(frozen=False)
        self._opening.cancel()
        self._scope.cancel()

    async def execute(self) -> Outcome:
        """Run to an outcome; afterwards no process of the run is left."""
        os.umask(self.order.umask)
        log: RunLog | None = None
        try:
            with self._opening:
                log = await self._patience.keep_trying(self._open_log)
        except OSError as error:
            return Refused(reason=f"the run log can't be opened: {error}")
        if log is None:
            return self._end or Cancelled(reason="")
        self._cap = LogCap(log.descriptor, self.order.log_bytes_max, log.note)
        self._log = log
        self._log_opened.set()
        return await self._execute(log)

    async def _open_log(self) -> RunLog:
        return RunLog(Path(self.order.log), self.timings, self.live)

    async def _keep_trying(self, work: Callable[[], T]) -> T:
        """Do blocking work in a thread, as often as it takes where there is no room for it."""
        return await self._patience.keep_trying(lambda: trio.to_thread.run_sync(work))

    async def mind(self, watcher: Watcher) -> None:
        """Keep the log within its limit, and hear of memory that has run out, while `execute` goes on; until cancelled."""
        await self._log_opened.wait()
        assert self._cap is not None
        assert self._log is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cap.run, Path(self.order.log), watcher)
            await self._confined.wait()
            nursery.start_soon(self.freezer.run, self._group, self._log.note)
            if self._confinement.events is not None:
                with watcher.ringing(self._confinement.events, self._watch.killed):
                    self._watch.killed.ring()
                    await trio.sleep_forever()

    async def _execute(self, log: RunLog) -> Outcome:
        outcome: Outcome = Cancelled(reason="")
        if self._delegated is not None or self._confinement.is_wanted:
            await trio.to_thread.run_sync(self._enter_group)
        for note in self._confinement.notes():
            log.note(note)
        self._confined.set()
        try:
            with self._scope:
                outcome = await self._attempt_within_limits(log)
            if self._scope.cancelled_caught and self._end is not None:
                outcome = self._end
                log.note(f"expd: {_words_of(outcome)}")
        finally:
            with trio.CancelScope(shield=True):
                await self.freezer.end()
                if isinstance(outcome, TimedOut):
                    await ask_for_stacks()
                signals = LEFT_BEHIND if isinstance(outcome, Succeeded) else self._signals
                left = await end_tree(signals, self.order.grace_seconds, self.timings.reaped)
                if self._group is not None:
                    await trio.to_thread.run_sync(leave, self._group)
                if self._confinement.scope is not None:
                    await trio.to_thread.run_sync(self._confinement.end)
                if left and isinstance(outcome, Succeeded):
                    log.note(f"expd: ended {left} processes that the run had left behind")
                if not isinstance(outcome, Succeeded):
                    await trio.to_thread.run_sync(self._place.give_up, log)
                if self._cap is not None:
                    self._cap.look()
        return outcome

    def put_away(self) -> None:
        """Put the log of a run that has ended on the disk, and close it; done again it changes nothing. Blocks."""
        log, self._log = self._log, None
        if log is not None:
            log.sync()
            log.close()

    def _enter_group(self) -> None:
        """Go into the group of the run, where there are groups: in a scope of its own if it has limits, else in what was delegated."""
        self._confinement.begin()
        above = self._confinement.scope or self._delegated
        group = None if above is None else run_group(above, self.order.run, self.order.run_token)
        self._group = group if group is not None and enter(group) else None

    async def _attempt_within_limits(self, log: RunLog) -> Outcome:
        if self.order.limits == NO_LIMITS:
            return await self._attempt(log)
        with abort_passed_over() if self.order.limits.is_timed else nullcontext():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch.run)
                outcome = await self._attempt(log)
                self._watch.end()
        return outcome

    async def _attempt(self, log: RunLog) -> Outcome:
        try:
            rev = await self._prepare_and_run(log)
        except CommandEnded as ended:
            return self._outcome_of(ended)
        except StartFailed as error:
            log.note(f"expd: {error}")
            return _not_started(error)
        except (PipelineError, GitFailed, OSError) as error:
            reason = (
                with_damage(str(error), Path(self.order.git_directory)) if isinstance(error, GitFailed) else str(error)
            )
            log.note(f"expd: {reason}")
            return Refused(reason=reason)
        except Exception as error:  # noqa: BLE001 - the boundary around a run
            # A bug here ends this run with a reason, not the worker and its neighbours.
            _journal.exception("run %s of entry %s", self.order.run, self.order.entry)
            log.note(f"expd: internal error: {error!r}")
            return Refused(reason=f"internal error: {error!r}")
        return Succeeded(rev=rev)

    def _outcome_of(self, ended: CommandEnded) -> Outcome:
        """Say how a command's end is to be taken: where the run's own limit was reached, whatever code it gave."""
        times = self.timings.newest(ended.stage)
        evidence = "cgroup" if self._confinement.has_killed() else None if times is None else times.memory_evidence
        if evidence is not None:
            return self._confinement.outcome(ended.stage, evidence)
        if ended.return_code < 0:
            return Killed(stage=ended.stage, signal=-ended.return_code)
        return Failed(stage=ended.stage, exit_code=ended.return_code)

    async def _prepare_and_run(self, log: RunLog) -> Rev:
        order = self.order
        surroundings = Surroundings(
            environment=run_environment(order),
            log=log,
            flights=Flights(self._user_git / "expd" / "flights", f"{order.name} (entry {order.entry})"),
            tell_stage=self._tell_stage,
            force=order.force,
            options=order.stage_options,
            patience=self._patience,
            freezer=self.freezer,
            stages=self._stages,
            note_data=self._place.note_data,
            takes_back_ignores=order.captured_tree is not None,
        )
        manifest, cache, planned = await self._keep_trying(lambda: self._arrange(surroundings))
        if planned is None:
            assert order.command is not None
            self.live.watch([self._worktree / order.directory / DVCLIVE_METRICS])
            self._watch.begin(log)
            await self._run_command(order.command, surroundings)
            await self._begin_collecting()
            command = order.command
            return await self._keep_trying(lambda: self._commit_command(manifest, command, cache))
        project, stages = planned
        self._watch.begin(log)
        done = await run_stages(project, stages, surroundings)
        await self._begin_collecting()
        if order.as_stage:
            await trio.to_thread.run_sync(self._tell_undeclared, manifest, project, log)
        return await self._keep_trying(lambda: self._commit_stages(manifest, project, done, cache))

    def _arrange(self, surroundings: Surroundings) -> tuple[Manifest, Cache, tuple[Project, list[Stage]] | None]:
        """Do all that comes before the first stage, in one go, as threads cost more than its pieces; a plain command has no stages."""
        order, log = self.order, surroundings.log
        manifest = again_if_disturbed(self._place.prepare)
        if manifest.pointers:
            count, names = len(manifest.pointers), ", ".join(manifest.pointers[:_POINTERS_NAMED])
            log.note(f"expd: {count} files are Git LFS pointers (`git lfs fetch` brings them): {names}")
        if order.resumes is not None:
            self._stages.load()
            log.note(f"expd: goes on in what run {order.resumes} left")
        config = read_config(Path(order.origin_root))
        cache = self._open_cache(config)
        trio.from_thread.check_cancelled()
        self._beside = self._place.bring_along(manifest)
        trio.from_thread.check_cancelled()
        if order.command is not None and not order.as_stage:
            self._link_data(manifest, cache, log)
            return manifest, cache, None
        project = self._open_project(cache, config)
        self._watch_metrics(project)
        if order.limits != NO_LIMITS:  # its time is that of the data that is put in place as well
            trio.from_thread.run_sync(self._watch.begin, log)
        return manifest, cache, (project, plan_stages(project, order.targets, surroundings))

    def _watch_metrics(self, project: Project) -> None:
        root = self._worktree / self.order.root
        declared = [root / file.path for file in project.interesting_files().metrics]
        self.live.watch([self._worktree / self.order.directory / DVCLIVE_METRICS, *declared])

    def _link_data(self, manifest: Manifest, cache: Cache, log: RunLog) -> None:
        """Give a command without a pipeline the data that the project tracks; what it needs of that nobody knows."""
        if not any(path.endswith(DATA_FILE_SUFFIX) for path in manifest.paths):
            return
        tracked, missing = link_all_data(self._worktree / self.order.root, cache)
        self._data = frozenset(tracked)
        self._place.note_data(tracked)
        for data in missing:
            log.note(f"expd: what {data.path} tracks is not in the cache, and not here; `dvc pull` may bring it")

    def _open_cache(self, config: DvcConfig) -> Cache:
        return Cache(
            Path(self.order.cache),
            types=config.cache_types,
            shared=config.cache_shared,
            checkpoint=trio.from_thread.check_cancelled,
        )

    def _open_project(self, cache: Cache, config: DvcConfig) -> Project:
        return open_project(
            self._worktree / self.order.root,
            self._worktree / self.order.directory,
            cache=cache,
            parsing=config.parsing,
            memo=self._memo,
            checkpoint=trio.from_thread.check_cancelled,
        )

    async def _run_command(self, command: tuple[str, ...], surroundings: Surroundings) -> None:
        await self._tell_stage(COMMAND_STAGE)
        cwd, log = self._worktree / self.order.directory, surroundings.log
        environment = {**surroundings.environment, "DVC_STAGE": COMMAND_STAGE, "PWD": str(cwd)}
        with log.running(COMMAND_STAGE, command_hash(command)) as times:
            times.command = shlex.join(command)
            times.exit_code = await self._patience.keep_trying(
                lambda: run_command(command, cwd, environment, log.descriptor, self.freezer, accounts=times),
                (StartFailed,),
            )
            if times.exit_code != 0:
                raise CommandEnded(COMMAND_STAGE, times.exit_code)

    async def _begin_collecting(self) -> None:
        """From here on no limit counts: what was computed is not given up."""
        self._watch.end()
        await self._tell(Collecting(run=self.order.run, run_token=self.order.run_token))

    async def _tell_stage(self, stage: str) -> None:
        await self._tell(StageStarted(run=self.order.run, run_token=self.order.run_token, stage=stage))

    def _commit_command(self, manifest: Manifest, command: tuple[str, ...], cache: Cache) -> Rev:
        slots = Slots(self._worktree, Repository(self._user_git), manifest.submodules)
        changes = tracked_changes(self._worktree, manifest)
        found = new_files(self._worktree, manifest, slots.is_ignored)
        data = dict.fromkeys(self._data)
        made = [path for path in found if not is_tracked(str(self._worktree / path), data)]
        harvest = Harvest(
            touched=changes.touched, deleted=changes.deleted, made=made, copied=self._beside, cached_by_size=True
        )
        return self._commit(harvest, manifest, command_message(command), cache)

    def _tell_undeclared(self, manifest: Manifest, project: Project, log: RunLog) -> None:
        """Name what a command made and did not declare: whoever misses it should not have to guess."""
        found = new_files(
            self._worktree,
            manifest,
            Slots(self._worktree, Repository(self._user_git), manifest.submodules).is_ignored,
        )
        known = {out.location: out for node in project.contents.nodes for out in node.outs}
        ours = {LOCK_FILE, ".gitignore"}
        rest = [
            path for path in found if not is_tracked(str(self._worktree / path), known) and Path(path).name not in ours
        ]
        rest = [path for path in rest if path not in self._beside]
        if rest:
            more = f" and {len(rest) - UNDECLARED_SHOWN} more" if len(rest) > UNDECLARED_SHOWN else ""
            log.note(f"expd: new, not declared, and not in the result: {', '.join(rest[:UNDECLARED_SHOWN])}{more}")

    def _commit_stages(self, manifest: Manifest, project: Project, done: StagesDone, cache: Cache) -> Rev:
        changes = tracked_changes(self._worktree, manifest)
        declared = [path for record in done.visited for path in record.tracked_paths]
        results = project.interesting_files()
        declared += [file.path for file in (*results.metrics, *results.plots) if file.fingerprint is None]
        declared += [file.path for file in results.params]
        made = [(Path(self.order.root) / path).as_posix() for path in declared]
        outs = {out.location: out for node in project.contents.nodes for out in node.outs}
        beside = {path for path in self._beside if not is_tracked(str(self._worktree / path), outs)}
        touched = set(changes.touched)
        harvest = Harvest(
            touched=changes.touched,
            deleted=changes.deleted,
            made=made,
            copied=beside,
            is_untouched=lambda path: path in manifest.paths and path not in touched,
        )
        return self._commit(harvest, manifest, f"dvc: commit experiment {exp_hash(done.ran)}", cache)

    def _commit(self, harvest: Harvest, manifest: Manifest, message: str, cache: Cache) -> Rev:
        at = time.time()

        def commit() -> Rev:
            repository = Repository(self._user_git)
            order = CommitOrder(
                baseline_rev=self.order.baseline_rev,
                stash_tree=repository.tree_of(self.order.stash_rev),
                message=self.order.message or message,
                at=at,
                submodules=manifest.submodules,
            )
            return commit_experiment(self._worktree, repository, harvest, order, cache)

        return again_if_disturbed(commit)


def _words_of(outcome: Outcome) -> str:
    """Say in the log why a run was ended."""
    match outcome:
        case Cancelled(reason=reason):
            return reason
        case TimedOut(limit=Limit.TIME, limit_seconds=limit):
            return f"the time limit of {limit:g} s is reached; its Python processes say where they are"
        case TimedOut(limit_seconds=limit):
            return f"nothing was written and no processor used for {limit:g} s, the stall limit; its Python processes say where they are"
        case OutOfMemory(limit_bytes=limit) if limit is not None:
            return f"the limit of {limit / 2**20:.0f} MiB of memory is reached"
        case _:
            return outcome.kind


def _not_started(error: StartFailed) -> Outcome:
    """Give the outcome; a program that no stage asked for is ours, and its run is refused."""
    if not error.stage:
        return Refused(reason=str(error))
    return NotStarted(stage=error.stage, errno=error.errno or 0, path=error.path, is_directory=error.is_directory)
