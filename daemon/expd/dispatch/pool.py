"""The pool: queued entries to idle workers, workers' reports to the store, results to their refs.

One task schedules, one minds each worker process, one attends each worker's connection, one settles each ended run.
State is changed in the store first and told to others afterwards; a worker's word counts only under its run's token.
"""

import logging
import secrets
import time
from pathlib import Path

import trio

from expd.bell import Bell, wait_first
from expd.collect.filing import Result, file_result
from expd.dispatch.orders import execute_order, read_record
from expd.dispatch.slots import WorkerSlot, spawn_worker
from expd.linux.processes import ProcessIdentity, kill_token
from expd.queueing.entry import Entry, Run
from expd.queueing.recovery import RunFacts, decide
from expd.queueing.schedule import starts_now
from expd.queueing.store import Store
from expd.queueing.transitions import Claim, WrongState
from expd.settings import Settings
from expd.wire import Wire
from expproto.messages import Message
from expproto.vocabulary import EntryId, EntryState, Lost, Outcome, RunId, Succeeded
from expproto.work import Acknowledge, CancelRun, Collecting, Leave, Order, Register, RunEnded, StageStarted

_journal = logging.getLogger("expd.dispatch")

_GIT_THREADS = 4
"""Refs set at once: each waits for the disk, and one repository's refs hardly ever wait for each other."""
_ENDED_MAX = 1000
"""Reports of ended runs on their way to a task of their own; the pool has at most as many workers."""
_CRASH_SECONDS = 1.0
"""Between two workers that end before they register: a broken installation must not spin."""
_LEAVE_SECONDS = 5.0
"""How long the end of the daemon waits for idle workers to go."""


class Pool:
    """`run` schedules until `drain` has emptied it; `attend` is called for each connection of a worker."""

    def __init__(self, store: Store, settings: Settings, socket_path: Path, state_directory: Path) -> None:
        self._store = store
        self._settings = settings
        self._socket_path = socket_path
        self._worker_log = state_directory / "workers.log"
        self._slots: dict[str, WorkerSlot] = {}
        self._cancelled: dict[RunId, str] = {}
        self._stages: dict[RunId, str] = {}
        self._settling: set[RunId] = set()
        self._recovered: list[RunEnded] = []
        self._bell = Bell()
        self._draining = self._hurrying = False
        self._git = trio.CapacityLimiter(_GIT_THREADS)
        self._ended: trio.MemorySendChannel[RunEnded] | None = None

    def stage_of(self, run: RunId) -> str | None:
        """Give the stage a run is in."""
        return self._stages.get(run)

    async def recover(self) -> None:
        """Compare the store with what lives, before anything is scheduled; carries out `queueing.recovery`."""
        for entry in await self._store.active():
            assert entry.run is not None
            run, record = entry.run, read_record(Path(entry.run.record))
            worker = ProcessIdentity(boot_id=run.boot_id, pid=run.pid, start_ticks=run.start_ticks)
            facts = RunFacts(worker_lives=worker.is_alive(), has_record=record is not None)
            verdict = decide(facts)
            _journal.info("recovery: run %s of entry %s: %s", run.id, entry.id, verdict)
            if verdict == "adopt":
                self._slots[run.worker] = WorkerSlot(token=run.worker, identity=worker, run=run.id)
            elif record is not None:
                self._recovered.append(record)
            else:
                await self._lose(entry, "neither its worker nor an outcome was there when the daemon started")

    async def run(self) -> None:
        """Schedule until drained; every worker adopted by `recover` is minded from here on."""
        async with trio.open_nursery() as nursery:
            self._ended, ended = trio.open_memory_channel[RunEnded](_ENDED_MAX)
            nursery.start_soon(self._settle_reports, ended)
            for report in self._recovered:
                await self._settle_later(report)
            for slot in list(self._slots.values()):
                nursery.start_soon(self._mind_adopted, slot)
            while not await self._is_drained():
                changed, rung = self._store.changes.any.next_ring, self._bell.next_ring
                await self._schedule(nursery)
                if not await self._is_drained():
                    await wait_first(changed, rung)
            await self._dismiss_workers()
            nursery.cancel_scope.cancel()

    def drain(self) -> None:
        """Claim nothing more; `run` returns when nothing runs."""
        self._draining = True
        self._bell.ring()

    async def cancel(self, entries: list[EntryId], reason: str) -> list[Entry]:
        """End entries in whatever state they are; gives them as they are once the wish is on disk."""
        cancelled = await self._store.cancel(entries, reason, time.time())
        for entry in cancelled:
            if entry.run is not None and entry.state is not EntryState.DONE:
                self._cancelled[entry.run.id] = reason
                self._order_cancel(entry.run.id)
        return cancelled

    async def hurry(self, reason: str) -> None:
        """End everything that is active; a result that still waits for its ref is left to the next daemon."""
        self._hurrying = True
        await self.cancel([entry.id for entry in await self._store.active()], reason)

    async def attend(self, register: Register, wire: Wire) -> None:
        """Serve one connection of a worker until it ends."""
        slot = self._slots.get(register.token)
        if slot is None:
            _journal.warning("a worker nobody started registers: pid %s", register.pid)
            return
        slot.identity = ProcessIdentity(boot_id=register.boot_id, pid=register.pid, start_ticks=register.start_ticks)
        orders = slot.connect()
        mine = slot.orders
        self._bell.ring()
        if register.run is not None:
            self._order_cancel(register.run)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send_orders, wire, orders)
                while (report := await wire.receive()) is not None:
                    await self._hear(slot, report)
                nursery.cancel_scope.cancel()
        finally:
            if slot.orders is mine:
                slot.orders = None

    # --- scheduling

    async def _schedule(self, nursery: trio.Nursery) -> None:
        """Give queued entries to idle workers, and start workers where there are too few."""
        wanted = starts_now(await self._store.pool(), draining=self._draining)
        for slot in [slot for slot in self._slots.values() if slot.is_idle][:wanted]:
            if await self._give_entry(slot):
                wanted -= 1
        starting = sum(1 for slot in self._slots.values() if slot.orders is None and slot.run is None)
        for _new in range(wanted - starting):
            slot = WorkerSlot(token=secrets.token_hex(16))
            self._slots[slot.token] = slot
            nursery.start_soon(self._mind_new, slot)

    async def _give_entry(self, slot: WorkerSlot) -> bool:
        """Claim the next entry for an idle worker and tell it to run it; False if there was none."""
        assert slot.identity is not None
        claim = Claim(
            worker=slot.token,
            pid=slot.identity.pid,
            start_ticks=slot.identity.start_ticks,
            boot_id=slot.identity.boot_id,
            token=secrets.token_hex(16),
            at=time.time(),
        )
        entry = await self._store.claim(claim)
        if entry is None or entry.run is None:
            return False
        slot.run = entry.run.id
        order = execute_order(entry, entry.run, await self._store.environment(entry.submission_id), self._settings)
        _journal.info("run %s of entry %s (%s) goes to worker %s", entry.run.id, entry.id, entry.name, claim.pid)
        slot.order(order)
        self._order_cancel(entry.run.id)
        return True

    def _order_cancel(self, run: RunId) -> None:
        """Tell the worker of a run that its end is wanted, if it is and the worker can hear."""
        reason = self._cancelled.get(run)
        slot = next((slot for slot in self._slots.values() if slot.run == run), None)
        if reason is not None and slot is not None:
            slot.order(CancelRun(run=run, reason=reason))

    async def _is_drained(self) -> bool:
        if not self._draining:
            return False
        active = await self._store.active()
        if self._hurrying:
            return all(entry.state is EntryState.COLLECTING for entry in active)
        return not active and not self._settling

    # --- workers

    async def _mind_new(self, slot: WorkerSlot) -> None:
        """Start a worker process and stay with it to its end."""
        try:
            process = await spawn_worker(slot.token, self._socket_path, self._worker_log)
        except OSError as error:
            _journal.error("a worker can't be started: %s", error)
            await self._bury(slot, "its worker never started")
            return
        code = await process.wait()
        await self._bury(slot, f"its worker ended with code {code}")

    async def _mind_adopted(self, slot: WorkerSlot) -> None:
        """Wait for the end of a worker that an earlier daemon started: a pidfd tells of what is not our child."""
        assert slot.identity is not None
        await slot.identity.wait_gone()
        await self._bury(slot, "its worker, started by an earlier daemon, ended")

    async def _bury(self, slot: WorkerSlot, how: str) -> None:
        """A worker has ended: settle or lose the run it was in."""
        if slot.identity is None:
            _journal.error("a worker ended before it registered: %s; see %s", how, self._worker_log)
            await trio.sleep(_CRASH_SECONDS)
        del self._slots[slot.token]
        slot.gone.set()
        entry = None if slot.run is None else await self._store.entry_of_run(slot.run)
        if entry is not None and entry.run is not None and entry.state is not EntryState.DONE:
            record = read_record(Path(entry.run.record))
            if record is not None:
                await self._settle_later(record)
            else:
                await self._lose(entry, how)
        self._bell.ring()

    async def _dismiss_workers(self) -> None:
        """Let idle workers go, and wait a moment until they have."""
        with trio.move_on_after(_LEAVE_SECONDS):
            for slot in list(self._slots.values()):
                slot.order(Leave())
            for slot in list(self._slots.values()):
                await slot.gone.wait()

    # --- reports

    async def _hear(self, slot: WorkerSlot, report: Message) -> None:
        if not isinstance(report, StageStarted | Collecting | RunEnded):
            return
        entry = await self._store.entry_of_run(report.run)
        if entry is None or entry.run is None or entry.run.token != report.run_token:
            _journal.warning("a report of run %s is not this run's: passed over", report.run)
            return
        match report:
            case StageStarted(stage=stage):
                self._stages[report.run] = stage
                await self._store.start(report.run, time.time())
            case Collecting():
                await self._collect(entry)
            case RunEnded():
                slot.run = None
                await self._settle_later(report)
                slot.order(Acknowledge(run=report.run))

    async def _collect(self, entry: Entry) -> None:
        assert entry.run is not None
        if entry.state in {EntryState.PREPARING, EntryState.RUNNING}:
            await self._store.collect(entry.run.id, time.time())

    async def _settle_later(self, report: RunEnded) -> None:
        """Hand an ended run to a task of its own, once."""
        assert self._ended is not None
        if report.run not in self._settling:
            self._settling.add(report.run)
            await self._ended.send(report)

    async def _settle_reports(self, ended: trio.MemoryReceiveChannel[RunEnded]) -> None:
        """Settle each ended run in a task of its own: one ref that is locked holds up nobody."""
        async with trio.open_nursery() as nursery:
            async for report in ended:
                nursery.start_soon(self._settle_report, report)

    async def _settle_report(self, report: RunEnded) -> None:
        try:
            entry = await self._store.entry_of_run(report.run)
            if entry is not None and entry.state is not EntryState.DONE:
                await self._settle(entry, report.outcome)
        finally:
            self._settling.discard(report.run)
            self._bell.ring()

    async def _settle(self, entry: Entry, outcome: Outcome) -> None:
        """Bring an ended run to its end in the store: first the ref, then the row, then the record may go."""
        assert entry.run is not None
        run = entry.run
        try:
            if isinstance(outcome, Succeeded):
                await self._file(entry, outcome)
            await self._finish(run, outcome)
        except WrongState as error:
            _journal.warning("run %s was ended before: %s", run.id, error)
        _journal.info("run %s of entry %s (%s): %s", run.id, entry.id, entry.name, outcome)
        await trio.to_thread.run_sync(lambda: Path(run.record).unlink(missing_ok=True))

    async def _file(self, entry: Entry, outcome: Succeeded) -> None:
        await self._collect(entry)
        result = Result(
            git_directory=Path(entry.submission.git_directory),
            baseline_rev=entry.submission.baseline_rev,
            name=entry.name,
            rev=outcome.rev,
            force=entry.submission.force,
        )
        name = await file_result(result, self._git)
        if name != entry.name:
            _journal.warning("entry %s: %s was taken meanwhile; the result is %s", entry.id, entry.name, name)
            await self._store.rename(entry.id, name)

    async def _finish(self, run: Run, outcome: Outcome) -> None:
        await self._store.finish(run.id, outcome, time.time())
        self._stages.pop(run.id, None)
        self._cancelled.pop(run.id, None)

    async def _lose(self, entry: Entry, reason: str) -> None:
        """A run vanished with its worker: end whatever of it still runs, then say so."""
        assert entry.run is not None
        token = entry.run.token
        await trio.to_thread.run_sync(kill_token, token)
        _journal.warning("run %s of entry %s is lost: %s", entry.run.id, entry.id, reason)
        await self._finish(entry.run, Lost(reason=reason))


async def _send_orders(wire: Wire, orders: trio.MemoryReceiveChannel[Order]) -> None:
    async for order in orders:
        await wire.send(order)
