"""The pool: queued entries to idle workers, and what workers report to the store.

One task schedules, one minds each worker process, one attends each worker's connection. State is changed in the store
first and told to others afterwards; a worker's word counts only under its run's token.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import trio

from expd.bell import Bell, wait_first
from expd.dispatch.host import Host
from expd.dispatch.orders import execute_order, read_record
from expd.dispatch.progress import ProgressBoard
from expd.dispatch.settling import Settling, insist
from expd.dispatch.slots import WorkerSlot
from expd.linux.processes import ProcessIdentity
from expd.queueing.entry import Entry, Run
from expd.queueing.recovery import RunFacts, decide
from expd.queueing.schedule import starts_now
from expd.queueing.store import Store
from expd.queueing.transitions import Claim
from expd.settings import Settings
from expd.wire import Wire
from expproto.messages import Message
from expproto.vocabulary import EntryId, EntryState, RunId
from expproto.work import Acknowledge, CancelRun, Collecting, Leave, Order, Progress, Register, RunEnded, StageStarted

_journal = logging.getLogger("expd.dispatch")

_CRASH_SECONDS = 1.0
"""Between two workers that end before they register: a broken installation must not spin."""
_LEAVE_SECONDS = 5.0
"""How long the end of the daemon waits for idle workers to go."""
_STRAYS_MAX = 1000
"""Workers nobody started that register at once; there were at most as many slots before."""


class Pool:
    """`recover` first, then `run` schedules until it is drained; `attend` is called for each connection of a worker."""

    def __init__(self, store: Store, settings: Settings, host: Host) -> None:
        self._store = store
        self._settings = settings
        self._host = host
        self._slots: dict[str, WorkerSlot] = {}
        self._cancelled: dict[RunId, CancelRun] = {}
        self._stages: dict[RunId, str] = {}
        self.progress = ProgressBoard(store)
        self._bell = Bell()
        self._settling = Settling(store, self._bell, host)
        self._adopting, self._adopted = trio.open_memory_channel[WorkerSlot](_STRAYS_MAX)
        self._draining = self._hurrying = self._dismissing = False
        self._trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """Say why no worker comes up, while none does."""
        return self._trouble

    def stage_of(self, run: RunId) -> str | None:
        """Give the stage a run is in."""
        return self._stages.get(run)

    def obstacle(self, run: RunId) -> str | None:
        """Say what keeps the result of a run from being filed, if anything does."""
        return self._settling.obstacle(run)

    async def recover(self) -> None:
        """Compare the store with what lives, before anything is scheduled; carries out `queueing.recovery`."""
        for entry in await self._store.active():
            assert entry.run is not None
            run, record = entry.run, read_record(Path(entry.run.record))
            worker = ProcessIdentity(boot_id=run.boot_id, pid=run.pid, start_ticks=run.start_ticks)
            verdict = decide(RunFacts(worker_lives=self._host.is_alive(worker), has_record=record is not None))
            _journal.info("recovery: run %s of entry %s: %s", run.id, entry.id, verdict)
            if verdict == "adopt":
                self._adopt(WorkerSlot(token=run.worker, identity=worker, run=run.id))
                self._note_wish(run)
            elif record is not None:
                self._settling.settle(record)
            else:
                await self._settling.lose(entry, "neither its worker nor an outcome was there when the daemon started")

    async def run(self) -> None:
        """Schedule until drained."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._settling.run)
            nursery.start_soon(self._mind_all_adopted)
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

    async def hurry(self, reason: str) -> None:
        """End everything that is active; a result that still waits for its ref is left to the next daemon."""
        self._hurrying = True
        active = await insist(self._store.active)
        await insist(lambda: self.cancel([entry.id for entry in active], reason))

    async def cancel(self, entries: Sequence[EntryId], reason: str) -> list[Entry]:
        """End entries in whatever state they are; gives them as they are once the wish is on disk."""
        cancelled = await self._store.cancel(entries, reason, self._host.now())
        for entry in cancelled:
            if entry.run is not None and entry.state is not EntryState.DONE:
                self._note_wish(entry.run)
                self._order_cancel(entry.run.id)
        return cancelled

    # --- scheduling

    async def _schedule(self, nursery: trio.Nursery) -> None:
        """Give queued entries to idle workers, and start workers where there are too few."""
        starts = starts_now(await insist(self._store.pool), draining=self._draining)
        wanted = starts.immediate + starts.queued
        for number, slot in enumerate([slot for slot in self._slots.values() if slot.is_idle][:wanted]):
            if await self._give_entry(slot, immediate_only=number < starts.immediate):
                wanted -= 1
        starting = sum(1 for slot in self._slots.values() if slot.orders is None and slot.run is None)
        for _new in range(wanted - starting):
            slot = WorkerSlot(token=self._host.new_token())
            self._slots[slot.token] = slot
            nursery.start_soon(self._mind_new, slot)

    async def _give_entry(self, slot: WorkerSlot, *, immediate_only: bool) -> bool:
        """Claim the next entry for an idle worker and tell it to run it; False if there was none."""
        assert slot.identity is not None
        claim = Claim(
            worker=slot.token,
            pid=slot.identity.pid,
            start_ticks=slot.identity.start_ticks,
            boot_id=slot.identity.boot_id,
            token=self._host.new_token(),
            at=self._host.now(),
            immediate_only=immediate_only,
        )
        entry = await insist(lambda: self._store.claim(claim))
        if entry is None or entry.run is None:
            return False
        slot.run = entry.run.id
        _journal.info("run %s of entry %s (%s) goes to worker %s", entry.run.id, entry.id, entry.name, claim.pid)
        await self._order_execute(slot, entry)
        return True

    async def _order_execute(self, slot: WorkerSlot, entry: Entry) -> None:
        """Send the order, and behind it the wish to cancel if there is one already."""
        assert entry.run is not None
        environment = await insist(lambda: self._store.environment(entry.submission_id))
        slot.order(execute_order(entry, entry.run, environment, self._settings))
        self._order_cancel(entry.run.id)

    def _order_cancel(self, run: RunId) -> None:
        """Tell the worker of a run that its end is wanted, if it is and the worker can hear."""
        wish = self._cancelled.get(run)
        slot = next((slot for slot in self._slots.values() if slot.run == run), None)
        if wish is not None and slot is not None:
            slot.order(wish)

    def _note_wish(self, run: Run) -> None:
        """Take note that the end of a run is wanted, if it is: the first wish counts."""
        if run.cancel_reason is not None:
            self._cancelled[run.id] = CancelRun(run=run.id, reason=run.cancel_reason, at=run.cancel_at)

    async def _is_drained(self) -> bool:
        if not self._draining:
            return False
        active = await insist(self._store.active)
        if self._hurrying:
            return all(entry.state is EntryState.COLLECTING for entry in active)
        return not active and self._settling.is_idle

    # --- worker processes

    async def _mind_new(self, slot: WorkerSlot) -> None:
        """Start a worker process and stay with it to its end."""
        try:
            process = await self._host.start_worker(slot.token)
        except OSError as error:
            await self._bury(slot, f"its worker could not be started: {error}")
            return
        code = await process.wait()
        await self._bury(slot, f"its worker ended with code {code}")

    def _adopt(self, slot: WorkerSlot) -> None:
        """Take in a worker that an earlier daemon started."""
        self._slots[slot.token] = slot
        self._adopting.send_nowait(slot)

    async def _mind_all_adopted(self) -> None:
        async with trio.open_nursery() as nursery:
            async for slot in self._adopted:
                nursery.start_soon(self._mind_adopted, slot)

    async def _mind_adopted(self, slot: WorkerSlot) -> None:
        """Wait for the end of a worker that is not our child: a pidfd tells of it."""
        assert slot.identity is not None
        await self._host.wait_gone(slot.identity)
        await self._bury(slot, "its worker, started by an earlier daemon, ended")

    async def _bury(self, slot: WorkerSlot, how: str) -> None:
        """A worker has ended: settle or lose the run it was in."""
        if slot.identity is None:
            self._trouble = f"a worker: {how} before it was ready; see {self._host.worker_log}"
            _journal.error("no worker: %s before it was ready; see %s", how, self._host.worker_log)
            await trio.sleep(_CRASH_SECONDS)
        del self._slots[slot.token]
        slot.gone.set()
        run = slot.run
        entry = None if run is None else await insist(lambda: self._store.entry_of_run(run))
        if entry is not None and entry.run is not None and entry.state is not EntryState.DONE:
            record = read_record(Path(entry.run.record))
            if record is not None:
                self._settling.settle(record)
            else:
                await self._settling.lose(entry, how, self.progress.take(entry.run.id))
        self._bell.ring()

    async def _dismiss_workers(self) -> None:
        """Let idle workers go, and wait a moment until they have."""
        self._dismissing = True
        with trio.move_on_after(_LEAVE_SECONDS):
            for slot in list(self._slots.values()):
                slot.order(Leave())
            for slot in list(self._slots.values()):
                await slot.gone.wait()

    # --- worker connections

    async def attend(self, register: Register, wire: Wire) -> None:
        """Serve one connection of a worker until it ends."""
        slot = self._recognise(register)
        orders = slot.connect()
        mine = slot.orders
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send_orders, wire, orders)
                await self._agree(slot, register)
                if self._dismissing and slot.run is None:
                    slot.order(Leave())  # it was on its way up when the others were told
                self._bell.ring()
                while (report := await wire.receive()) is not None:
                    await self._hear(slot, report)
                nursery.cancel_scope.cancel()
        finally:
            if slot.orders is mine:
                slot.orders = None

    def _recognise(self, register: Register) -> WorkerSlot:
        """Find the slot of a worker; one that nobody here started has outlived its daemon, and is taken in."""
        identity = ProcessIdentity(boot_id=register.boot_id, pid=register.pid, start_ticks=register.start_ticks)
        slot = self._slots.get(register.token)
        if slot is None:
            slot = WorkerSlot(token=register.token, identity=identity, run=register.run)
            self._adopt(slot)
        slot.identity = identity
        self._trouble = None
        return slot

    async def _agree(self, slot: WorkerSlot, register: Register) -> None:
        """Compare what a worker says it does with what the store says, and order what makes both the same."""
        if register.run is not None and not await self._is_wanted(register.run, register.run_token):
            slot.order(CancelRun(run=register.run, reason="this attempt was given up"))
        run = slot.run
        if run is None:
            return
        if run == register.run:
            self._order_cancel(run)
        elif run not in register.ended:
            entry = await insist(lambda: self._store.entry_of_run(run))
            if entry is not None and entry.state is not EntryState.DONE:
                _journal.info("run %s never reached its worker: sending it again", run)
                await self._order_execute(slot, entry)

    async def _is_wanted(self, run: RunId, token: str | None) -> bool:
        entry = await insist(lambda: self._store.entry_of_run(run))
        return (
            entry is not None
            and entry.run is not None
            and entry.run.token == token
            and entry.state is not EntryState.DONE
        )

    async def _hear(self, slot: WorkerSlot, report: Message) -> None:
        """Take a report; one of a run that was given up changes nothing, but its worker is free again."""
        if not isinstance(report, StageStarted | Progress | Collecting | RunEnded):
            return
        if await self._is_wanted(report.run, report.run_token):
            await self._take(report)
        else:
            _journal.warning("%s of run %s, which was given up: passed over", report.kind, report.run)
        if isinstance(report, RunEnded):
            slot.run = None
            self._stages.pop(report.run, None)
            self.progress.take(report.run)
            self._cancelled.pop(report.run, None)
            slot.order(Acknowledge(run=report.run))
            self._bell.ring()

    async def _take(self, report: StageStarted | Progress | Collecting | RunEnded) -> None:
        match report:
            case Progress(run=run, progress=progress):
                await self.progress.put(run, progress)
            case StageStarted(run=run, stage=stage):
                self._stages[run] = stage
                await insist(lambda: self._store.start(run, self._host.now()))
            case Collecting(run=run):
                entry = await insist(lambda: self._store.entry_of_run(run))
                assert entry is not None
                await self._settling.collect(entry)
            case RunEnded():
                self._settling.settle(report)


async def _send_orders(wire: Wire, orders: trio.MemoryReceiveChannel[Order]) -> None:
    async for order in orders:
        await wire.send(order)
