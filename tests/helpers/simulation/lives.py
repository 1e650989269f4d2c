"""Daemons of a simulation, one after the other: the real one from the socket to the SQL and to Git's refs.

Processes and the clock stand behind the seam of `expd.dispatch.host`. A crash takes the daemon's tasks away wherever they
are; what was written stays.
"""

import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from unittest import mock

import outcome
import trio
import trio.lowlevel

from expd.dispatch.pool import Pool
from expd.dispatch.settling import insist
from expd.linux.inotify import Watcher
from expd.linux.processes import ProcessIdentity
from expd.linux.space import Place
from expd.queueing.store import Store
from expd.queueing.transitions import ACTIVE
from expd.serve.listener import Door
from expd.serve.services import Chosen, Services
from expd.serve.session import serve_connection
from expd.settings import Settings
from expd.upkeep.hooks import Herald
from expd.upkeep.leftovers import set_unknown_runs_aside
from expd.upkeep.recovering import Recovery
from expd.upkeep.retaining import Collector
from expproto.vocabulary import Ending, RunId
from helpers.simulation.clients import JOBS
from helpers.simulation.disk import SimulatedDatabase
from helpers.simulation.workers import SimulatedWorker
from helpers.simulation.world import World

T = TypeVar("T")

_NEWS_SECONDS = 7200.0
"""Longer than any disk of the simulation stays full."""

_START_SECONDS = 0.3


async def keep_alive(world: World) -> None:
    """Start a daemon, and another one whenever one has ended, until the world is over."""
    chance = world.chance("restarts")
    while not world.is_over:
        world.lives += 1
        await Life(world).live()
        world.changed.ring()
        await trio.sleep(chance.choice((0.0, chance.uniform(0, 1), chance.uniform(0, 30))))


async def _has_ended(store: Store, run: RunId) -> bool:
    entry = await insist(lambda: store.entry_of_run(run))
    return entry is None or entry.run is None or entry.run.id != run or entry.state not in ACTIVE


class SimulatedHost:
    """The machine as the daemon sees it."""

    worker_log = Path("workers.log")

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = world.chance(f"host {world.lives}")

    def now(self) -> float:
        """Give the wall time, which may jump."""
        return self._world.now()

    def new_token(self) -> str:
        """Make a token."""
        return f"{self._chance.getrandbits(128):032x}"

    def boot_id(self) -> str:
        """Name this run of the machine."""
        return self._world.boot_id

    def is_alive(self, worker: ProcessIdentity) -> bool:
        """Tell whether this very process exists."""
        found = self._world.workers.get(worker.pid)
        return found is not None and found.identity == worker

    async def wait_gone(self, worker: ProcessIdentity) -> None:
        """Wait until a process has ended."""
        found = self._world.workers.get(worker.pid)
        if found is not None and found.identity == worker:
            await found.gone.wait()

    def end_worker(self, worker: ProcessIdentity) -> None:
        """Kill this very process."""
        found = self._world.workers.get(worker.pid)
        if found is not None and found.identity == worker:
            found.kill()

    async def start_worker(self, token: str) -> SimulatedWorker:
        """Start a worker, if the machine has a process left."""
        await trio.sleep(self._chance.uniform(0, 0.01))
        if not self._world.can_fork:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        worker = SimulatedWorker(self._world, token)
        self._world.workers[worker.identity.pid] = worker
        self._world.nursery.start_soon(worker.live)
        return worker

    async def shortage(self, places: tuple[Place, ...]) -> str | None:
        """Say that there is no room, while there is none."""
        await trio.lowlevel.checkpoint()
        return f"{places[0].path} has no room" if self._world.disk.is_failing else None

    async def kill_run(self, token: str) -> None:
        """Kill what lives of a run, which takes a moment."""
        await trio.sleep(self._chance.uniform(0, 0.1))
        self._world.end(token)


class Life:
    """One daemon, put together as app.py does it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._database = SimulatedDatabase(world.directory / "state" / "queue.db", world.disk)
        self.scope = trio.CancelScope()
        self.is_listening = False
        self._is_stopping = False
        self._endings, self._wanted_endings = trio.open_memory_channel[Ending](math.inf)

    async def live(self) -> None:
        """Live until stopped or killed."""
        world = self._world
        world.life = self
        self._database.open()
        self._watcher = Watcher()
        try:
            with self.scope:
                await trio.sleep(_START_SECONDS)
                async with trio.open_nursery() as thread:  # the store's outlives everything that asks it
                    thread.start_soon(self._database.serve)
                    await self._serve()
                    thread.cancel_scope.cancel()
                world.note("the daemon has ended")
        finally:
            self.is_listening = False
            world.life = None
            while world.descriptors:
                os.close(world.descriptors.pop())
            self._watcher.close()
            self._database.close()

    def kill(self) -> None:
        """Take all tasks away; what they do on their way out reaches no disk."""
        self.is_listening = False
        self._database.die()
        self.scope.cancel()

    async def _serve(self) -> None:
        world = self._world
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            store = Store(self._database, world.runs_directory)
            await store.ensure_pool(JOBS)
            set_unknown_runs_aside(world.runs_directory, await store.last_run())
            pool = Pool(store, Settings(jobs=JOBS), SimulatedHost(world))
            await pool.recover()
            await self._check_recovered(store)
            self._door = Door()
            self._services = self._make_services(store, pool)
            nursery.start_soon(self._check_truth, store)
            nursery.start_soon(self._watcher.run)
            nursery.start_soon(self._services.recovery.run)
            nursery.start_soon(self._services.collector.run)
            nursery.start_soon(self._heed_stop, pool)
            self.is_listening = True
            world.note("a daemon listens")
            world.changed.ring()
            await pool.run()
            self.is_listening = False
            nursery.cancel_scope.cancel()

    async def _check_recovered(self, store: Store) -> None:
        """What was acknowledged is there."""
        world = self._world
        for request_id, entries in world.acknowledged.items():
            found = [entry.id for entry in await store.accepted_before(request_id)]
            left = [entry for entry in entries if entry not in world.removed]
            assert set(left) <= set(found) <= set(entries), (
                f"{request_id}: {entries} were acknowledged, {found} are there"
            )

    async def _check_truth(self, store: Store) -> None:
        """What neither lives nor left its outcome is not shown as running for longer than the disk has no room for the news."""
        host, latest = SimulatedHost(self._world), trio.current_time() + _NEWS_SECONDS
        for entry in await insist(store.active):
            run = entry.run
            assert run is not None
            identity = ProcessIdentity(boot_id=run.boot_id, pid=run.pid, start_ticks=run.start_ticks)
            while not (host.is_alive(identity) or _is_there(run.record) or await _has_ended(store, run.id)):
                assert trio.current_time() < latest, f"entry {entry.id} only seems to be {entry.state}"
                await trio.sleep(1)

    def connect(self) -> trio.SocketStream:
        """Open a connection; gives the peer's side."""
        ours, theirs = socket.socketpair()
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
        self._nursery.start_soon(serve_connection, stream, self._services, self._door)
        return trio.SocketStream(trio.socket.from_stdlib_socket(ours))

    def _make_services(self, store: Store, pool: Pool) -> Services:
        capturing, started_at = set[str](), time.time()  # compared with times of real files
        settings, recovery = Settings(jobs=JOBS), Recovery(store, self._world.runs_directory, capturing, started_at)
        return Services(
            store=store,
            pool=pool,
            watcher=self._watcher,
            chosen=Chosen(settings),
            socket_path=Path("expd.sock"),
            state_directory=self._world.directory / "state",
            started_at=started_at,
            recovery=recovery,
            herald=Herald(store, settings.hooks),
            collector=Collector(store, recovery, settings.retention, self._world.runs_directory, pool.sweep_elsewhere),
            capturing=capturing,
            stop=self._stop,
            is_stopping=lambda: self._is_stopping,
            rng=self._world.chance(f"names {self._world.lives}"),
        )

    def _stop(self, ending: Ending) -> None:
        self._is_stopping = True
        self._endings.send_nowait(ending)

    async def _heed_stop(self, pool: Pool) -> None:
        async for ending in self._wanted_endings:
            match ending:
                case Ending.LEAVE:
                    pool.leave()
                case Ending.DRAIN:
                    pool.drain()
                case Ending.NOW:
                    pool.drain()
                    await pool.hurry("the daemon was told to stop now")


def _is_there(path: str) -> bool:
    return Path(path).exists()


@contextmanager
def descriptors_of(world: World) -> Iterator[None]:
    """Note the descriptors that a daemon keeps open to its end: the kernel closes them then, and here somebody must."""
    duplicate = os.dup

    def note(descriptor: int) -> int:
        world.descriptors.append(duplicate(descriptor))
        return world.descriptors[-1]

    with mock.patch("os.dup", note):
        yield


@contextmanager
def threads_inline() -> Iterator[None]:
    """Let `to_thread` work in place and at once: a real thread would take real time, in which virtual time runs away."""

    def run(work: Callable[[], T], deliver: Callable[[outcome.Outcome[T]], object], name: str | None = None) -> None:
        del name
        deliver(outcome.capture(work))

    with mock.patch("trio._threads.start_thread_soon", run):
        yield
