"""The supervisor: start order, the tree of tasks, and the end from the inside out.

lock → store → recovery → socket → ready; then one nursery holds the watcher, the listener and the pool. The end begins
with a drain: the pool finishes what runs (or cancels it), then the listener closes, then the store, then the lock.
"""

import logging
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import trio

from expd.dispatch.host import LocalHost
from expd.dispatch.pool import Pool
from expd.linux.durable import private_directory
from expd.linux.inotify import Watcher
from expd.linux.processes import become_subreaper
from expd.queueing.database import Database
from expd.queueing.store import Store
from expd.serve.listener import Address, serve
from expd.serve.services import Services
from expd.serve.session import serve_connection
from expd.settings import Settings
from expd.upkeep.leftovers import set_unknown_runs_aside
from expd.upkeep.recovering import Recovery
from expproto import VERSION, address

_journal = logging.getLogger("expd")


class Daemon:
    """One daemon, from its start to its end."""

    def __init__(self, environ: Mapping[str, str], settings: Settings, ready_descriptor: int | None) -> None:
        self._settings = settings
        self._state_directory = Path(address.state_directory(environ))
        self._address = Address(Path(address.runtime_directory(environ)))
        self._runs_directory = self._state_directory / "runs"
        self._ready_descriptor = ready_descriptor
        self._started_at = 0.0
        self._stop_now = trio.Event()
        self._stopping = trio.Event()

    async def run(self) -> None:
        """Run until drained; raises AlreadyRunning, NotPrivate, UnusableAddress or StoreUnusable before it is ready."""
        private_directory(self._state_directory)
        private_directory(self._runs_directory)
        self._address.take()
        self._started_at = time.time()  # under the lock: what is older was left by somebody before us
        try:
            database = Database(self._state_directory / "queue.db")
            database.open()
            try:
                await self._serve(Store(database, self._runs_directory))
            finally:
                database.close()
        finally:
            self._address.give_back()

    def stop(self, now: bool) -> None:  # noqa: FBT001 - what a client's Stop carries
        """Begin the end: after what runs, or now."""
        self._stopping.set()
        if now:
            self._stop_now.set()

    async def _serve(self, store: Store) -> None:
        become_subreaper()
        await store.ensure_pool(self._settings.jobs)
        set_unknown_runs_aside(self._runs_directory, await store.last_run())
        host = LocalHost(socket_path=self._address.socket_path, worker_log=self._state_directory / "workers.log")
        pool = Pool(store, self._settings, host)
        await pool.recover()
        services = self._services(store, pool)
        listening = self._address.bind()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(services.watcher.run)
            nursery.start_soon(serve, listening, lambda stream: serve_connection(stream, services))
            nursery.start_soon(services.recovery.run)
            nursery.start_soon(self._heed_signals)
            nursery.start_soon(self._heed_stop, pool)
            self._say_ready()
            await pool.run()
            nursery.cancel_scope.cancel()
        services.watcher.close()
        _journal.info("stopped")

    def _services(self, store: Store, pool: Pool) -> Services:
        capturing = set[str]()
        return Services(
            store=store,
            pool=pool,
            watcher=Watcher(),
            settings=self._settings,
            socket_path=self._address.socket_path,
            state_directory=self._state_directory,
            started_at=self._started_at,
            recovery=Recovery(store, self._runs_directory, capturing, self._started_at),
            capturing=capturing,
            stop=self.stop,
            is_stopping=self._stopping.is_set,
        )

    def _say_ready(self) -> None:
        """Tell whoever started us that the socket listens."""
        _journal.info("expd %s listens at %s", VERSION, self._address.socket_path)
        if self._ready_descriptor is not None:
            os.write(self._ready_descriptor, b"READY\n")
            os.close(self._ready_descriptor)

    async def _heed_signals(self) -> None:
        """SIGTERM or SIGINT drains; the second one hurries."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                _journal.info(
                    "%s: %s", signal.Signals(number).name, "hurrying" if self._stopping.is_set() else "draining"
                )
                self.stop(self._stopping.is_set())

    async def _heed_stop(self, pool: Pool) -> None:
        await self._stopping.wait()
        pool.drain()
        await self._stop_now.wait()
        await pool.hurry("the daemon was told to stop now")
