"""A worker of a simulation: it keeps the promises of `expd.execute.worker`, and its commands are waits in virtual time."""

import math

import trio

from expd.bell import Bell, wait_first
from expd.wire import Wire
from expproto.codec import encode
from expproto.errors import ProtocolError
from expproto.messages import Message, message_to_map
from expproto.vocabulary import Cancelled, Failed, Killed, Outcome, RunId, Succeeded
from expproto.work import Acknowledge, CancelRun, Collecting, Execute, Leave, Register, Report, RunEnded, StageStarted
from helpers.simulation.world import NobodyListens, World

_ABANDONED_SECONDS = 60.0
_LEFT = (ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel)


class SimulatedWorker:
    """`live` is its whole life; `kill` ends it, and leaves the commands of its run alive, as SIGKILL does."""

    def __init__(self, world: World, token: str) -> None:
        self.identity = world.identity(world.free_pid())
        self.gone = trio.Event()
        self.wire: Wire | None = None
        self._world = world
        self._token = token
        self._chance = world.chance(f"worker {token}")
        self._scope = trio.CancelScope()
        self._awake = trio.Event()
        self._awake.set()
        self._order: Execute | None = None
        self._ending = trio.CancelScope()
        self._wish: CancelRun | None = None
        self._last_report: Report | None = None
        self._unheard: dict[RunId, RunEnded] = {}
        self._dismissed = False
        self._idle = Bell()

    async def wait(self) -> int:
        """Wait for its end, as its parent does."""
        await self.gone.wait()
        return -9 if self._scope.cancelled_caught else 0

    def kill(self) -> None:
        """End it at once."""
        self._world.note(f"worker {self.identity.pid} is killed")
        self._scope.cancel()

    async def freeze(self, seconds: float) -> None:
        """Stop it, as SIGSTOP does: its connection stays, and it neither reads nor writes."""
        awake = self._awake
        if awake.is_set():
            awake = self._awake = trio.Event()
        await trio.sleep(seconds)
        awake.set()

    async def live(self) -> None:
        """Serve daemons until there is nothing left to do for any, or killed."""
        try:
            with self._scope:
                await self._do(self._chance.uniform(0, 0.3))
                if self._chance.random() < 0.02:
                    return
                async with trio.open_nursery() as nursery:
                    await self._work(nursery)
                    nursery.cancel_scope.cancel()
        finally:
            del self._world.workers[self.identity.pid]
            self.gone.set()

    async def _work(self, nursery: trio.Nursery) -> None:
        while True:
            if not await self._serve_one_daemon(nursery):
                await self._do(1.0)
            if self._is_leaving or not await self._wait_for_daemon():
                return

    @property
    def _is_leaving(self) -> bool:
        return self._dismissed and self._order is None and not self._unheard

    async def _do(self, seconds: float) -> None:
        """Take some time, and more if it is frozen."""
        await trio.sleep(seconds)
        await self._awake.wait()

    async def _serve_one_daemon(self, nursery: trio.Nursery) -> bool:
        try:
            stream = self._world.connect()
        except NobodyListens:
            return True
        wire, is_registered = Wire(stream, "worker"), False
        try:
            await wire.greet()
            await self._do(self._chance.uniform(0, 0.01))
            await wire.send(self._registration())
            self.wire = wire
            await self._catch_up(wire)
            is_registered = True
            while not self._is_leaving and (message := await wire.receive()) is not None:
                await self._awake.wait()
                self._obey(message, nursery)
        except _LEFT:
            pass
        finally:
            self.wire = None
            with trio.move_on_after(1, shield=True):
                await wire.close()
        return is_registered

    def _registration(self) -> Register:
        order = self._order
        return Register(
            token=self._token,
            pid=self.identity.pid,
            start_ticks=self.identity.start_ticks,
            boot_id=self.identity.boot_id,
            run=None if order is None else order.run,
            run_token=None if order is None else order.run_token,
            ended=tuple(self._unheard),
        )

    async def _catch_up(self, wire: Wire) -> None:
        if self._order is not None and self._last_report is not None:
            await wire.send(self._last_report)
        for ended in list(self._unheard.values()):
            await wire.send(ended)

    async def _wait_for_daemon(self) -> bool:
        """Wait until a daemon listens; False once there is nothing to wait for."""
        deadline = math.inf
        while self._order is not None or self._unheard:
            if self._world.is_listening:
                return True
            if self._order is None:
                deadline = min(deadline, trio.current_time() + _ABANDONED_SECONDS)
            appeared, idle = self._world.changed.next_ring, self._idle.next_ring
            with trio.move_on_at(deadline) as waiting:
                await wait_first(appeared, idle)
            if waiting.cancelled_caught:
                return False
        return False

    def _obey(self, order: Message, nursery: trio.Nursery) -> None:
        match order:
            case Execute() if self._order is None:
                self._order, self._wish, self._last_report = order, None, None
                self._ending = trio.CancelScope()
                nursery.start_soon(self._execute, order)
            case CancelRun(run=run) if self._order is not None and self._order.run == run and self._wish is None:
                self._wish = order
                self._ending.cancel()
            case Acknowledge(run=run):
                self._unheard.pop(run, None)
                self._idle.ring()
            case Leave():
                self._dismissed = True
            case _:
                return

    async def _execute(self, order: Execute) -> None:
        outcome = await self._run_commands(order)
        ended = RunEnded(run=order.run, run_token=order.run_token, outcome=outcome, ended_at=1.0)
        if self._chance.random() > 0.02:
            self._world.write(order.record, encode(message_to_map(ended)))
        await self._do(self._chance.choice((0.0, 0.01)))
        self._unheard[order.run] = ended
        self._order = None
        self._idle.ring()
        await self._tell(ended)

    async def _run_commands(self, order: Execute) -> Outcome:
        chance = self._world.chance(f"run {order.entry}@{order.attempt}")
        self._world.note(f"run {order.run} of entry {order.entry} begins at worker {self.identity.pid}")
        self._world.begin(order)
        outcome = self._draw(order, chance.random())
        with self._ending:
            await self._do(chance.uniform(0, 0.2))
            await self._report(StageStarted(run=order.run, run_token=order.run_token, stage="train"))
            for line in range(chance.randrange(4)):
                self._world.write(order.log, f"line {line} of run {order.run}\n".encode())
                await self._do(chance.choice((0.01, 0.5, 5.0)))
            if isinstance(outcome, Succeeded):
                await self._report(Collecting(run=order.run, run_token=order.run_token))
            await self._do(chance.uniform(0, 0.1))
        self._world.end(order.run_token)
        if self._ending.cancelled_caught and self._wish is not None:
            return Cancelled(reason=self._wish.reason, at=self._wish.at)
        return outcome

    def _draw(self, order: Execute, chance: float) -> Outcome:
        if chance < 0.7:
            return Succeeded(rev=self._world.results[order.run % len(self._world.results)])
        return Failed(stage="train", exit_code=3) if chance < 0.9 else Killed(stage="train", signal=11)

    async def _report(self, report: Report) -> None:
        self._last_report = report
        await self._tell(report)

    async def _tell(self, report: Report) -> None:
        if self.wire is None:
            return
        try:
            await self.wire.send(report)
        except _LEFT:
            return
