"""The pool: queued entries to the engines that execute them, and what engines report to the store.

One task schedules, each engine minds what it has started. State is changed in the store first and told to others
afterwards; a report counts only under its run's token.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from expd.bell import Bell, wait_first
from expd.dispatch.engine import Engine, RunReport, Seat
from expd.dispatch.host import Host
from expd.dispatch.local import LocalEngine
from expd.dispatch.orders import execute_order
from expd.dispatch.progress import ProgressBoard
from expd.dispatch.settling import Settling, ids, insist
from expd.dispatch.troubles import Troubles
from expd.execute.record import read_record
from expd.linux.systemd import Notifier
from expd.queueing.entry import LOCAL, Entry, Run
from expd.queueing.recovery import RunFacts, decide
from expd.queueing.schedule import PoolState, starts_now, status_words
from expd.queueing.store import Store
from expd.queueing.transitions import Claim, RoomUnknown
from expd.queueing.writing import RunGone, WrongState
from expd.settings import Settings
from expd.wire import Wire
from expproto.place import DEFAULT_GROUP
from expproto.vocabulary import EntryId, EntryState, RunId
from expproto.work import CancelRun, Collecting, Execute, Obstacle, Progress, Register, RunEnded, StageStarted

_journal = logging.getLogger("expd.dispatch")

_START_SECONDS = 3.0
"""How long a start waits for the store to take what has vanished; a store without room takes it later."""
_CLOCK_SECONDS_MAX = 60.0
"""While something waits for its time: our timer stands still while the machine sleeps, and its clock may be set."""


class Pool:
    """`recover` first, then `run` schedules until it is drained; `attend` is called for each connection of a worker.

    To its engines it is the Ledger.
    """

    def __init__(self, store: Store, settings: Settings, host: Host, notifier: Notifier | None = None) -> None:
        self._store = store
        self._notifier = notifier or Notifier({})
        self._settings = settings
        self._host = host
        self._local = LocalEngine(host, self)
        self._engines: dict[str, Engine] = {LOCAL: self._local}
        self._cancelled: dict[RunId, CancelRun] = {}
        self._frozen = set[RunId]()
        self._stages: dict[RunId, str] = {}
        self.progress = ProgressBoard(store)
        self._bell = Bell()
        store.changes.turn.rings_too(self._bell)
        self._settled = Bell()
        self._settling = Settling(store, self._settled, host, settings.kept_worktrees_max)
        self._draining = self._hurrying = self._leaving = False
        self._troubles = Troubles(store, settings, host)
        self._next_at: float | None = None
        self._vanished: list[Entry] = []

    def employ(self, engine: Engine) -> None:
        """Have another engine beside that of this host; before `recover`."""
        self._engines[engine.name] = engine

    @property
    def other_engines(self) -> list[str]:
        """Give the names of the engines that are set up beside that of this host."""
        return [name for name in self._engines if name != LOCAL]

    async def ask_hosts(self, name: str) -> Sequence[Mapping[str, object]]:
        """Ask the hosts of an engine what runs there; raises BrokerAway."""
        return await self._engines[name].ask_hosts()

    def engine_trouble(self, name: str) -> str | None:
        """Say why an engine starts nothing, while it does not."""
        engine = self._engines.get(name)
        return f"no engine {name} is set up here: [engines.{name}] in config.toml" if engine is None else engine.trouble

    @property
    def trouble(self) -> str | None:
        """Say why nothing is started, for as long as that is not the user's wish."""
        return self._troubles.words or self._local.trouble

    def short_of_room(self, git_directory: str) -> str | None:
        """Say what a repository's entries wait for, if that is room on its disks."""
        return self._troubles.short_of_room(git_directory)

    def use(self, settings: Settings) -> None:
        """Go on with other settings, from the next run on."""
        self._settings = settings
        self._troubles.use(settings)
        self._bell.ring()

    def stage_of(self, run: RunId) -> str | None:
        """Give the stage a run is in."""
        return self._stages.get(run)

    def obstacle(self, run: RunId) -> str | None:
        """Say what keeps a run from going on, or its result from being filed, if anything does."""
        found = (engine.obstacle(run) for engine in self._engines.values())
        return self._settling.obstacle(run) or next((what for what in found if what is not None), None)

    def host_of(self, run: RunId) -> str | None:
        """Give the name of the host that executes a run, if it is another."""
        return next((host for engine in self._engines.values() if (host := engine.host_of(run)) is not None), None)

    async def attend(self, register: Register, wire: Wire) -> None:
        """Serve one connection of a worker of this host until it ends."""
        await self._local.attend(register, wire)

    def set_deaf(self, pid: int) -> None:
        """Take note that a worker of this host speaks another protocol."""
        self._local.set_deaf(pid)

    async def recover(self) -> None:
        """Compare the store with what lives, before anything is scheduled; carries out `queueing.recovery`."""
        for entry in await self._store.active():
            assert entry.run is not None
            run, record = entry.run, read_record(Path(entry.run.record))
            engine = self._engines.get(entry.submission.engine)
            if engine is None:
                words = "run %s of entry %s is out with an engine that is not set up: %s"
                _journal.warning(words, run.id, entry.id, entry.submission.engine, extra=ids(entry))
                continue
            verdict = decide(RunFacts(worker_lives=engine.lives(run), has_record=record is not None))
            _journal.info("recovery: run %s of entry %s: %s", run.id, entry.id, verdict, extra=ids(entry))
            if verdict == "adopt":
                engine.adopt(entry)
                self._note_wish(run)
                if run.frozen_at is not None:
                    self._frozen.add(run.id)
            elif record is not None:
                self._settling.settle(record)
            else:
                self._vanished.append(entry)
        with trio.move_on_after(
            _START_SECONDS
        ):  # a store that can't be written must not keep the daemon from saying so
            await self._lose_vanished()

    async def _lose_vanished(self) -> None:
        """Record that runs have vanished while no daemon was there."""
        while self._vanished:
            entry = self._vanished[0]
            assert entry.run is not None
            if entry.submission.engine == LOCAL and entry.run.boot_id != self._host.boot_id():
                await self._settling.lose(entry, "the machine was started again while it ran", is_explained=True)
            else:
                await self._settling.lose(entry, "neither its worker nor an outcome was there when the daemon started")
            self._vanished.pop(0)

    async def run(self) -> None:
        """Schedule until drained. Each round is a beat for the watchdog: one that hangs in a round is ended by it."""
        beat_seconds = self._notifier.beat_seconds or math.inf
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._settling.run)
            nursery.start_soon(self._lose_vanished)
            for engine in self._engines.values():
                nursery.start_soon(engine.run)
            while not await self._is_drained():
                news = self._news()
                await self._schedule_here()
                await self._schedule_elsewhere()
                if not await self._is_drained():
                    until = min(self._seconds_to_next(), self._troubles.look_again_seconds, beat_seconds)
                    with trio.move_on_after(until):
                        await wait_first(*news)
            for engine in self._engines.values():
                await engine.dismiss(with_runs=not self._leaving)
            nursery.cancel_scope.cancel()

    def _news(self) -> list[trio.Event]:
        """Give what calls for another round: whatever becomes of what runs does so only where its end is waited for."""
        last = (self._store.changes.any, self._settled) if self._draining else ()
        return [bell.next_ring for bell in (self._bell, *last)]

    def drain(self) -> None:
        """Claim nothing more; `run` returns when nothing runs."""
        self._draining = True
        self._bell.ring()

    def leave(self) -> None:
        """Claim nothing more; `run` returns at once. What runs goes on under its worker, and the next daemon adopts it."""
        self._leaving = True
        self.drain()

    async def hurry(self, reason: str) -> None:
        """End everything that is active here; a result that still waits for its ref is left to the next daemon."""
        self._hurrying = True
        active = await self._active_here()
        await insist(lambda: self.cancel([entry.id for entry in active], reason))

    async def cancel(self, entries: Sequence[EntryId], reason: str, number: int | None = None) -> list[Entry]:
        """End entries in whatever state they are; gives them as they are once the wish is on disk."""
        cancelled = await self._store.cancel(entries, reason, self._host.now(), number)
        for entry in cancelled:
            engine = self._engines.get(entry.submission.engine)
            if entry.run is not None and entry.state is not EntryState.DONE:
                self._note_wish(entry.run)
                self._pass_wish(engine, entry.run.id)
            elif engine is not None:
                engine.ended(entry)
        return cancelled

    async def sweep_elsewhere(self, *, is_dry: bool) -> list[str]:
        """Remove what the other engines keep elsewhere and nobody needs; gives it in words. Raises HubFailed."""
        swept = [await engine.sweep(is_dry=is_dry) for engine in self._engines.values()]
        return [what for each in swept for what in each]

    async def pause(self, group: str | None, *, freezes: bool) -> PoolState:
        """Start nothing more, of a group or of all, and let what runs here stand still if that is wanted; raises NoSuchGroup."""
        pool, runs = await self._store.pause(group, freezes=freezes, at=self._host.now())
        self._frozen.update(runs)
        for run in runs:
            self._local.freeze(run)
        return pool

    async def unpause(self, group: str | None) -> PoolState:
        """Start entries again, and let what is frozen go on; raises NoSuchGroup."""
        pool, runs = await self._store.unpause(group)
        self._frozen.difference_update(runs)
        for run in runs:
            self._local.freeze(run)
        return pool

    # --- scheduling

    async def _schedule_elsewhere(self) -> None:
        """Give queued entries to the other engines, as many as they take: how many run at once is theirs to know."""
        others = [engine for engine in self._engines.values() if engine is not self._local]
        if not others or self._draining or (await insist(self._store.pool, self._notifier.beat)).paused:
            return
        for engine in others:
            wanted = await insist(partial(self._store.queued_on, engine.name), self._notifier.beat)
            for seat in engine.seats(wanted):
                await self._give_entry(engine, seat, DEFAULT_GROUP)

    async def _schedule_here(self) -> None:
        """Give queued entries to the free seats of this host."""
        pool = await insist(lambda: self._store.wake(self._host.now()), self._notifier.beat)
        self._notifier.beat(status_words(pool, draining=self._draining))
        self._next_at = pool.next_at
        starts = starts_now(pool, draining=self._draining)
        if not await self._troubles.allow(starts.total):
            return
        pairs = zip(self._local.seats(starts.total), starts.turns(), strict=False)
        given = [await self._give_entry(self._local, seat, group) for seat, group in pairs]
        if any(given) and self._notifier.is_heard:  # how many run is part of what it tells
            self._bell.ring()

    def _seconds_to_next(self) -> float:
        """Give how long to wait for the entry whose time comes first; for ever if none has one."""
        if self._next_at is None or self._draining:
            return math.inf
        return min(max(0.0, self._next_at - self._host.now()), _CLOCK_SECONDS_MAX)

    async def _give_entry(self, engine: Engine, seat: Seat, group: str | None) -> bool:
        """Claim the next entry for a seat and have it run there; False if there is none."""
        claim = Claim(
            worker=seat.worker,
            pid=seat.pid,
            start_ticks=seat.start_ticks,
            boot_id=seat.boot_id,
            token=self._host.new_token(),
            at=self._host.now(),
            group=group,
            engine=engine.name,
        )
        entry = await self._claim(claim)
        if entry is None or entry.run is None:
            return False
        words = "run %s of entry %s (%s) goes to worker %s"
        _journal.info(words, entry.run.id, entry.id, entry.name, claim.pid or claim.worker, extra=ids(entry))
        order = execute_order(entry, entry.run, entry.submission.environment or None, self._settings)
        engine.start(seat, entry, order)
        self._pass_wish(engine, entry.run.id)
        return True

    async def _claim(self, claim: Claim) -> Entry | None:
        """Claim the next entry; where its disks were looked at a moment ago, that is one step."""
        if roomy := self._troubles.roomy:
            try:
                return await insist(lambda: self._store.claim(replace(claim, roomy=roomy)), self._notifier.beat)
            except RoomUnknown:
                _journal.debug("what is next runs where nobody has looked for room")
        claim = await self._troubles.with_room(claim)
        return await insist(lambda: self._store.claim(claim), self._notifier.beat)

    def _pass_wish(self, engine: Engine | None, run: RunId) -> None:
        """Tell an engine that the end of a run is wanted, if it is."""
        if engine is not None and (wish := self.wish(run)) is not None:
            engine.cancel(wish)

    def _note_wish(self, run: Run) -> None:
        """Take note that the end of a run is wanted, if it is: the first wish counts."""
        if run.cancel_reason is not None:
            self._cancelled[run.id] = CancelRun(
                run=run.id, reason=run.cancel_reason, at=run.cancel_at, signal=run.cancel_signal
            )

    async def _is_drained(self) -> bool:
        if not self._draining:
            return False
        if self._leaving:
            return True
        active = await self._active_here()
        if self._hurrying:
            return all(entry.state is EntryState.COLLECTING for entry in active)
        return not active and self._settling.is_idle

    async def _active_here(self) -> list[Entry]:
        """List what runs on this host; what runs elsewhere needs no daemon, and nobody waits for it."""
        return [
            entry for entry in await insist(self._store.active, self._notifier.beat) if entry.submission.engine == LOCAL
        ]

    # --- what engines tell and ask: the Ledger

    def ring(self) -> None:
        """Look again: a seat is free, or an engine is away or back."""
        self._bell.ring()

    def wish(self, run: RunId) -> CancelRun | None:
        """Give the wish to end a run, if there is one."""
        return self._cancelled.get(run)

    def is_frozen(self, run: RunId) -> bool:
        """Tell whether a run is to stand still."""
        return run in self._frozen

    async def is_wanted(self, run: RunId, token: str | None) -> bool:
        """Tell whether a run is still to go on under this token."""
        entry = await insist(lambda: self._store.entry_of_run(run))
        return (
            entry is not None
            and entry.run is not None
            and entry.run.token == token
            and entry.state is not EntryState.DONE
        )

    async def is_over(self, held_as: str) -> bool:
        """Tell whether nothing of a submission waits or runs any more, or ever was in the queue."""
        return await insist(lambda: self._store.is_over(held_as))

    async def settled(self, run: RunId) -> None:
        """Wait until a run whose end was told is done in the store."""
        entry = await insist(lambda: self._store.entry_of_run(run))
        while entry is not None and entry.run is not None and entry.run.ended_at is None:
            bell = self._store.changes.of(entry.id)
            changed = bell.next_ring
            entry = await insist(lambda: self._store.entry_of_run(run))
            if entry is not None and entry.run is not None and entry.run.ended_at is None:
                await changed.wait()

    async def order_again(self, run: RunId) -> Execute | None:
        """Give the order of a run that may never have reached its worker; None if it has ended."""
        entry = await insist(lambda: self._store.entry_of_run(run))
        if entry is None or entry.run is None or entry.state is EntryState.DONE:
            return None
        environment = await insist(lambda: self._store.environment(entry.submission_id))
        return execute_order(entry, entry.run, environment, self._settings)

    async def vanished(self, run: RunId, how: str) -> None:
        """Settle a run with the outcome it has left behind, or lose it."""
        entry = await insist(lambda: self._store.entry_of_run(run))
        if entry is None or entry.run is None or entry.state is EntryState.DONE:
            return
        record = read_record(Path(entry.run.record))
        if record is not None:
            self._settling.settle(record)
        else:
            await self._settling.lose(entry, how, self.progress.take(run))

    async def hear(self, report: RunReport) -> None:
        """Take a report; one of a run that was given up changes nothing."""
        try:
            await self._take(report)
        except (WrongState, RunGone):
            _journal.warning("%s of run %s, which was given up: passed over", report.kind, report.run)
        if isinstance(report, RunEnded):
            self._stages.pop(report.run, None)
            self.progress.take(report.run)
            self._cancelled.pop(report.run, None)
            self._frozen.discard(report.run)

    async def _take(self, report: RunReport) -> None:
        """Take a report; raises WrongState or RunGone for one of a run that was given up. Its end is looked at when it is settled."""
        match report:
            case Progress(run=run, run_token=token, progress=progress):
                await self._insist_wanted(run, token)
                await self.progress.put(run, progress)
            case StageStarted(run=run, run_token=token, stage=stage):
                if run not in self._stages:
                    entry = await insist(lambda: self._store.start(run, self._host.now(), token))
                    if entry.state is EntryState.DONE:
                        raise WrongState(entry.id, entry.state)
                self._stages[run] = stage
            case Collecting(run=run, run_token=token):
                await insist(lambda: self._store.collect(run, self._host.now(), token))
            case Obstacle(run=run, run_token=token, what=what):
                await self._insist_wanted(run, token)
                self._settling.hinder(run, what)
            case RunEnded():
                self._settling.settle(report)

    async def _insist_wanted(self, run: RunId, token: str) -> None:
        """Raise RunGone for a run that is not to go on, or not under this token."""
        if not await self.is_wanted(run, token):
            raise RunGone(run)
