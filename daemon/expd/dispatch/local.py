"""The engine of this host: warm worker processes, which come to the daemon's own socket and outlive the daemon.

A task minds each process; another attends each connection. What a worker says it does is compared with what the store
says whenever it registers, and both are made the same.
"""

import logging
from collections.abc import Mapping, Sequence

import trio

from expd.dispatch.engine import Ledger, RunReport, Seat
from expd.dispatch.host import Host
from expd.dispatch.slots import WorkerSlot
from expd.linux.processes import ProcessIdentity
from expd.queueing.entry import LOCAL, Entry, Run
from expd.wire import Wire
from expproto.messages import Message
from expproto.vocabulary import RunId
from expproto.work import Acknowledge, CancelRun, Execute, FreezeRun, Leave, Order, Register, RunEnded, ThawRun

_journal = logging.getLogger("expd.dispatch")

_CRASH_MIN_SECONDS, _CRASH_MAX_SECONDS = 1.0, 30.0
"""Between workers that end before they register, doubled each time: a broken installation must not spin."""
_LEAVE_SECONDS = 5.0
"""How long the end of the daemon waits for idle workers to go."""
_DEAF_SECONDS = 30.0
"""For a worker of an earlier daemon to come back after a wish: it takes a second, of a stopped one for ever."""
_MINDED_MAX = 3000
"""Workers that wait for a task to mind them, those nobody started that register at once among them."""


class LocalEngine:
    """An Engine; `attend` is called for each connection of a worker."""

    name = LOCAL

    def __init__(self, host: Host, ledger: Ledger) -> None:
        self._host = host
        self._ledger = ledger
        self._slots: dict[str, WorkerSlot] = {}
        self._to_mind, self._minded = trio.open_memory_channel[WorkerSlot](_MINDED_MAX)
        self._dismissing = False
        self._trouble: str | None = None
        self._crash_pause = _CRASH_MIN_SECONDS

    @property
    def trouble(self) -> str | None:
        """Say why no worker comes up, while none does."""
        return self._trouble

    def obstacle(self, run: RunId) -> str | None:  # noqa: ARG002 - an Engine's
        """Know of nothing: a run that was started here goes on."""
        return None

    def host_of(self, run: RunId) -> str | None:  # noqa: ARG002 - an Engine's
        """Give none: it is this host."""
        return None

    async def ask_hosts(self) -> Sequence[Mapping[str, object]]:
        """Give none: what runs here is in the store."""
        return []

    async def run(self) -> None:
        """Stay with every worker process to its end."""
        async with trio.open_nursery() as nursery:
            async for slot in self._minded:
                nursery.start_soon(self._mind_new if slot.identity is None else self._mind_adopted, slot)

    def seats(self, wanted: int) -> Sequence[Seat]:
        """Give idle workers, and start some where there are too few."""
        idle = [slot for slot in self._slots.values() if slot.is_idle][: max(0, wanted)]
        starting = sum(1 for slot in self._slots.values() if slot.orders is None and slot.run is None)
        for _new in range(wanted - len(idle) - starting):
            slot = WorkerSlot(token=self._host.new_token())
            self._slots[slot.token] = slot
            self._to_mind.send_nowait(slot)
        return [_seat_of(slot) for slot in idle]

    def start(self, seat: Seat, entry: Entry, order: Execute) -> None:  # noqa: ARG002 - an Engine's
        """Order a worker to run, or leave it to the worker's return."""
        slot = self._slots.get(seat.worker)
        if slot is None:  # it ended in this very moment, and its seat with it
            slot = WorkerSlot(token=seat.worker, identity=_identity(seat))
            self._slots[slot.token] = slot
            self._to_mind.send_nowait(slot)
        slot.run = order.run
        slot.order(order)

    def cancel(self, wish: CancelRun) -> None:
        """Tell the worker of a run that its end is wanted, if it can hear."""
        slot = next((slot for slot in self._slots.values() if slot.run == wish.run), None)
        if slot is not None:
            slot.order(wish)
            slot.unwanted.set()

    def set_deaf(self, pid: int) -> None:
        """Take note that a worker speaks another protocol: nothing can be told to it but its end."""
        for slot in self._slots.values():
            if slot.identity is not None and slot.identity.pid == pid:
                slot.answered.set()

    def freeze(self, run: RunId) -> None:
        """Tell the worker of a run whether that is to stand still, if it can hear; else it is told when it registers."""
        slot = next((slot for slot in self._slots.values() if slot.run == run), None)
        if slot is not None:
            slot.order(self._frost(run))

    def _frost(self, run: RunId) -> FreezeRun | ThawRun:
        return FreezeRun(run=run) if self._ledger.is_frozen(run) else ThawRun(run=run)

    def lives(self, run: Run) -> bool:
        """Ask whether its worker lives."""
        return self._host.is_alive(_identity(run))

    def adopt(self, entry: Entry) -> None:
        """Take in the worker of a run."""
        run = entry.run
        assert run is not None
        self._adopt(WorkerSlot(token=run.worker, identity=_identity(run), run=run.id))

    def ended(self, entry: Entry) -> None:
        """Keep nothing of it: what runs here is in the store."""

    async def sweep(self, *, is_dry: bool) -> Sequence[str]:  # noqa: ARG002 - an Engine's
        """Find nothing: retention sees to what is on this host."""
        return []

    async def dismiss(self, *, with_runs: bool) -> None:
        """Let workers go, and wait a moment until they have; one that stays with its run has heard all it was told."""
        self._dismissing = True
        with trio.move_on_after(_LEAVE_SECONDS):
            staying = [slot for slot in self._slots.values() if slot.run is not None and not with_runs]
            going = [slot for slot in self._slots.values() if slot not in staying]
            for slot in going:
                slot.order(Leave())
            for slot in staying:
                await slot.wait_told()
            for slot in going:
                await slot.gone.wait()

    # --- processes

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
        self._to_mind.send_nowait(slot)

    async def _mind_adopted(self, slot: WorkerSlot) -> None:
        """Wait for the end of a worker that is not our child: a pidfd tells of it."""
        assert slot.identity is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_if_deaf, slot, slot.identity)
            await self._host.wait_gone(slot.identity)
            nursery.cancel_scope.cancel()
        await self._bury(slot, "its worker, started by an earlier daemon, ended")

    async def _end_if_deaf(self, slot: WorkerSlot, identity: ProcessIdentity) -> None:
        """End a worker whose run is not wanted any more, if it can't be told: what it started is ended with its run."""
        await slot.unwanted.wait()
        with trio.move_on_after(_DEAF_SECONDS):
            await slot.answered.wait()
        if slot.orders is None:
            _journal.warning("worker %s of run %s can't be told to end it, and is killed", identity.pid, slot.run)
            self._host.end_worker(identity)

    async def _bury(self, slot: WorkerSlot, how: str) -> None:
        """A worker has ended, and with it the run it was in."""
        if slot.identity is None:
            self._trouble = f"no worker comes up: {how} before it was ready; see {self._host.worker_log}"
            pause, self._crash_pause = self._crash_pause, min(2 * self._crash_pause, _CRASH_MAX_SECONDS)
            _journal.error("%s; trying again in %g s", self._trouble, pause)
            await trio.sleep(pause)
        self._slots.pop(slot.token, None)
        slot.gone.set()
        if slot.run is not None:
            await self._ledger.vanished(slot.run, how)
        self._ledger.ring()

    # --- connections

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
                self._ledger.ring()
                while (report := await wire.receive()) is not None:
                    await self._hear(slot, report)
                nursery.cancel_scope.cancel()
        finally:
            if slot.orders is mine:
                slot.orders, slot.answered = None, trio.Event()

    def _recognise(self, register: Register) -> WorkerSlot:
        """Find the slot of a worker; one that nobody here started has outlived its daemon, and is taken in."""
        identity = _identity(register)
        slot = self._slots.get(register.token)
        if slot is None:
            slot = WorkerSlot(token=register.token, identity=identity, run=register.run)
            self._adopt(slot)
        slot.identity = identity
        self._trouble = None
        self._crash_pause = _CRASH_MIN_SECONDS
        return slot

    async def _agree(self, slot: WorkerSlot, register: Register) -> None:
        """Compare what a worker says it does with what the store says, and order what makes both the same."""
        if register.run is not None and not await self._ledger.is_wanted(register.run, register.run_token):
            slot.order(CancelRun(run=register.run, reason="this attempt was given up"))
        run = slot.run
        if run is None:
            return
        if run != register.run:
            again = None if run in register.ended else await self._ledger.order_again(run)
            if again is None:
                return
            _journal.info("run %s never reached its worker: sending it again", run)
            slot.order(again)
        if self._ledger.is_frozen(run) != (register.frozen and run == register.run):
            slot.order(self._frost(run))
        if (wish := self._ledger.wish(run)) is not None:
            slot.order(wish)

    async def _hear(self, slot: WorkerSlot, report: Message) -> None:
        """Pass a report on; at the end of its run a worker is free again, whether the run was still wanted or not."""
        if not isinstance(report, RunReport):
            return
        await self._ledger.hear(report)
        if isinstance(report, RunEnded):
            slot.run = None
            slot.order(Acknowledge(run=report.run))
            self._ledger.ring()


def _identity(who: Seat | Run | Register) -> ProcessIdentity:
    return ProcessIdentity(boot_id=who.boot_id, pid=who.pid, start_ticks=who.start_ticks)


def _seat_of(slot: WorkerSlot) -> Seat:
    who = slot.identity
    assert who is not None
    return Seat(worker=slot.token, pid=who.pid, start_ticks=who.start_ticks, boot_id=who.boot_id)


async def _send_orders(wire: Wire, orders: trio.MemoryReceiveChannel[Order | trio.Event]) -> None:
    async for order in orders:
        if isinstance(order, trio.Event):
            order.set()
        else:
            await wire.send(order)
