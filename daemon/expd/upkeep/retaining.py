"""Retention carried out: what the rules give up is removed, rows first, then refs, then files; results never.

By hand it is `expctl gc`; by itself it happens once a day, and when the queue has come to rest, at most once an hour.
Nothing is taken that an entry needs which waits or runs, and of what several daemons may share only what is surely ours.
"""

import logging
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from expd.dispatch.clearing import clear_away
from expd.dispatch.settling import insist
from expd.distributed.hub import HubFailed
from expd.execute.kept import remove_place
from expd.execute.marks import marks_of
from expd.gitio.packing import let_packs_go
from expd.linux.measuring import size_below, size_of
from expd.queueing.database import StoreFailed
from expd.queueing.retention import Clocks, EndedRun, Item, Rule, counted_to, given_up
from expd.queueing.store import Store
from expd.queueing.writing import WrongState
from expd.settings import Retention
from expd.upkeep.leftovers import Leftover
from expd.upkeep.recovering import Recovery, remove_leftover
from expd.upkeep.sharing import remove_restored, restored_refs, unused_copies
from expproto.records import GarbageRecord
from expproto.vocabulary import EntryId, RunId

_journal = logging.getLogger("expd.upkeep")

_DAY_SECONDS = 86400.0
_FIRST_SECONDS, _PAUSE_SECONDS = 60.0, 3600.0
"""From the start to the first collection, which nobody should wait for, and from one to the next."""


class SweepElsewhere(Protocol):
    """Removes what is kept elsewhere and nobody needs, or only says what that is; raises HubFailed."""

    async def __call__(self, *, is_dry: bool) -> list[str]:
        """Give what was removed, in words."""


@dataclass(slots=True)
class _Pass:
    """One collection: what is given up, and what could not be removed."""

    now: float
    is_dry: bool
    garbage: list[GarbageRecord]
    problems: list[str]

    def note(self, problem: str | None, garbage: GarbageRecord) -> None:
        """Take down what went, or why it did not."""
        if problem is None:
            self.garbage.append(garbage)
        else:
            self.problems.append(problem)


class Collector:
    """Collects garbage; `run` does so by itself."""

    def __init__(
        self, store: Store, recovery: Recovery, rules: Retention, runs_directory: Path, sweep_elsewhere: SweepElsewhere
    ) -> None:
        self._store = store
        self._sweep_elsewhere = sweep_elsewhere
        self._recovery = recovery
        self._rules = rules
        self._runs_directory = runs_directory
        self._lock = trio.Lock()
        self._start = _clocks()

    def use(self, rules: Retention) -> None:
        """Go on with other rules."""
        self._rules = rules

    async def run(self) -> None:
        """Collect once a day, and sooner when a run has ended and nothing else is queued; until cancelled."""
        await trio.sleep(_FIRST_SECONDS)
        while True:
            garbage, _problems = await self.collect(is_dry=False, by_itself=True)
            if garbage:
                _journal.info(
                    "%d pieces of garbage removed: %d bytes", len(garbage), sum(each.size for each in garbage)
                )
            await trio.sleep(_PAUSE_SECONDS)
            with trio.move_on_after(_DAY_SECONDS - _PAUSE_SECONDS):
                await self._rest()

    async def _back_up(self) -> None:
        """Copy the store once a day, so that there is something to go back to."""
        try:
            age = time.time() - self._store.backup.stat().st_mtime
        except FileNotFoundError:
            age = _DAY_SECONDS
        if 0 <= age < _DAY_SECONDS:
            return
        try:
            await self._store.back_up()
        except (StoreFailed, OSError) as error:
            _journal.warning("the store has no new backup: %s", error)

    async def _rest(self) -> None:
        """Wait until something has changed in the queue, and nothing waits or runs any more."""
        bell = self._store.changes.turn
        await bell.next_ring.wait()
        while True:
            changed = bell.next_ring
            pool = await insist(self._store.pool)
            if not (pool.active or pool.queued or pool.immediate):
                return
            await changed.wait()

    async def _now(self, *, by_itself: bool) -> float:
        """Give the time that ages are counted to: whoever asks for a collection looks at the clock, and at a list before."""
        now = _clocks()
        if not by_itself:
            return now.wall
        counted = counted_to(self._start, now, await insist(lambda: self._store.newest_at(self._start.wall)))
        if counted < now.wall:
            _journal.warning("the clock was set, or nothing happened for long: what is old is kept for now")
        return counted

    async def collect(self, *, is_dry: bool, by_itself: bool = False) -> tuple[list[GarbageRecord], list[str]]:
        """Give up what the rules do not keep; gives what that is, and in words what could not be removed.

        `by_itself` is for a collection that nobody asked for: it trusts no clock that was set.
        Afterwards the store is copied, if it was not today.
        """
        async with self._lock:
            this = _Pass(now=await self._now(by_itself=by_itself), is_dry=is_dry, garbage=[], problems=[])
            gone = await self._entries(this)
            runs = [run for run in await insist(self._store.ended_runs) if run.entry not in gone]
            await self._environments(this)
            repositories = await insist(self._store.repositories)
            for repository in repositories:
                await self._shared(this, Path(repository))
            await self._worktrees(this, runs)
            await self._logs(this, runs)
            await self._leftovers(this, repositories)
            await self._elsewhere(this)
            if not is_dry:
                await self._back_up()
            return this.garbage, this.problems

    async def _entries(self, this: _Pass) -> set[EntryId]:
        """Give up entries that are done, with all their files; gives those."""
        rule = Rule(seconds_max=self._rules.done_days * _DAY_SECONDS, count_max=self._rules.done_max)
        gone = {
            EntryId(item.key): why for item, why in given_up(await insist(self._store.done_everywhere), rule, this.now)
        }
        sizes = await self._sizes_of(gone)
        removed = set[EntryId]()
        for entry, why in gone.items():
            if this.is_dry or await self._remove_entry(this, entry):
                removed.add(entry)
                this.note(None, _garbage("entry", entry, sizes.get(entry, 0), why))
        return removed

    async def _sizes_of(self, entries: Iterable[EntryId]) -> dict[EntryId, int]:
        wanted, sizes = set(entries), dict[EntryId, int]()
        for run in await insist(self._store.ended_runs) if wanted else ():
            if run.entry in wanted:
                size = await trio.to_thread.run_sync(_size_of_run, run)
                sizes[run.entry] = sizes.get(run.entry, 0) + size
        return sizes

    async def _remove_entry(self, this: _Pass, entry: EntryId) -> bool:
        try:
            removed = await insist(lambda: self._store.remove([entry]))
        except WrongState:  # somebody has it run again
            return False
        for each in removed:
            this.problems += await trio.to_thread.run_sync(clear_away, each, self._runs_directory)
        return bool(removed)

    async def _environments(self, this: _Pass) -> None:
        rule = Rule(seconds_max=self._rules.environment_days * _DAY_SECONDS)
        for item, why in given_up(await insist(self._store.environments), rule, this.now):
            if not this.is_dry:
                await insist(lambda item=item: self._store.wipe_environment(item.key))  # type: ignore[misc]
            this.note(None, _garbage("environment", f"s{item.key}", item.size, why))

    async def _shared(self, this: _Pass, common: Path) -> None:
        """Give up what lies in a repository: what a restore put aside, and copies that no entry names."""
        rule = Rule(seconds_max=self._rules.restored_days * _DAY_SECONDS)
        if not this.is_dry:
            await trio.to_thread.run_sync(let_packs_go, common / "objects")
        refs = await trio.to_thread.run_sync(restored_refs, common)
        for item, why in given_up([Item(key=number, at=at) for number, (_ref, at) in enumerate(refs)], rule, this.now):
            ref = refs[item.key][0]
            problem = None if this.is_dry else await trio.to_thread.run_sync(remove_restored, common, ref)
            this.note(problem, _garbage("restored", ref, 0, why, str(common)))
        needed, name = await insist(lambda: self._store.copies(str(common))), await insist(self._store.name)
        for path in await trio.to_thread.run_sync(unused_copies, common, needed, name):
            size = size_of(path)
            problem = None if this.is_dry else await trio.to_thread.run_sync(_unlink, path)
            this.note(problem, _garbage("copy", path, size, "unused", str(common)))

    async def _worktrees(self, this: _Pass, runs: list[EndedRun]) -> None:
        """Give up worktrees that failed runs of this store have left, in each repository by itself."""
        rules = self._rules
        rule = Rule(seconds_max=rules.kept_worktree_days * _DAY_SECONDS, size_max=rules.kept_worktrees_bytes_max)
        for git_directory in sorted({run.git_directory for run in runs}):
            if not this.is_dry:
                await self._recovery.give_back(Path(git_directory))
            kept = Path(git_directory) / "expd" / "kept"
            own = {run.run: run.ended_at for run in runs if run.git_directory == git_directory}
            items = await trio.to_thread.run_sync(_items_of, {kept / str(run): (run, at) for run, at in own.items()})
            for item, why in given_up(items, rule, this.now):
                path = kept / str(item.key)
                problem = None if this.is_dry else await trio.to_thread.run_sync(_remove_tree, path)
                this.note(problem, _garbage("worktree", path, item.size, why, git_directory))

    async def _logs(self, this: _Pass, runs: list[EndedRun]) -> None:
        rules = self._rules
        rule = Rule(seconds_max=rules.log_days * _DAY_SECONDS, size_max=rules.logs_bytes_max)
        logs = {run.run: Path(run.log) for run in runs}
        items = await trio.to_thread.run_sync(lambda: [_item_of_log(run) for run in runs if Path(run.log).exists()])
        for item, why in given_up(items, rule, this.now):
            log = logs[RunId(item.key)]
            problem = None if this.is_dry else await trio.to_thread.run_sync(_unlink, log, marks_of(log))
            this.note(problem, _garbage("log", log, item.size, why))

    async def _elsewhere(self, this: _Pass) -> None:
        """Give up what is kept for other hosts, and of submissions that are over."""
        try:
            for ref in await self._sweep_elsewhere(is_dry=this.is_dry):
                this.note(None, _garbage("hub", ref, 0, "unused"))
        except HubFailed as failed:
            this.problems.append(f"the hub can't be swept: {failed.what}")

    async def _leftovers(self, this: _Pass, repositories: Iterable[str]) -> None:
        async for leftover in self._all_leftovers(repositories):
            if this.is_dry or await trio.to_thread.run_sync(remove_leftover, leftover):
                this.note(None, _garbage("leftover", leftover.path, leftover.size, "unused"))

    async def _all_leftovers(self, repositories: Iterable[str]) -> AsyncIterator[Leftover]:
        for leftover in await self._recovery.leftovers_of_state():
            yield leftover
        for repository in repositories:
            for leftover in await self._recovery.leftovers_of(Path(repository)):
                yield leftover
            for leftover in await self._recovery.leftovers_of_caches(Path(repository)):
                yield leftover


def _clocks() -> Clocks:
    return Clocks(wall=time.time(), boot=time.clock_gettime(time.CLOCK_BOOTTIME))


def _garbage(what: str, subject: object, size: int, rule: str, repository: str | None = None) -> GarbageRecord:
    return GarbageRecord(what=what, subject=str(subject), repository=repository, size=size, rule=rule)


def _size_of_run(run: EndedRun) -> int:
    log = Path(run.log)
    kept = Path(run.git_directory) / "expd" / "kept" / str(run.run)
    return size_of(log) + size_of(marks_of(log)) + (size_below(kept) if kept.is_dir() else 0)


def _item_of_log(run: EndedRun) -> Item:
    log = Path(run.log)
    return Item(key=run.run, at=run.ended_at, size=size_of(log) + size_of(marks_of(log)))


def _items_of(directories: dict[Path, tuple[RunId, float]]) -> list[Item]:
    return [Item(key=run, at=at, size=size_below(path)) for path, (run, at) in directories.items() if path.is_dir()]


def _unlink(*paths: Path) -> str | None:
    """Delete files; gives in words what is in the way."""
    try:
        for path in paths:
            path.unlink(missing_ok=True)
    except OSError as error:
        return f"{paths[0]} stays: {error}"
    return None


def _remove_tree(path: Path) -> str | None:
    try:
        remove_place(path)
    except OSError as error:
        return f"{path} stays: {error}"
    return None
