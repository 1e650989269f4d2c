"""The supervisor: start order, the tree of tasks, and the end from the inside out.

lock → store → recovery → socket → ready; then one nursery holds the watcher, the listener and the pool. The end begins
with the pool, which leaves what runs to its workers, or finishes it, or cancels it; then the listener closes, then the
store, then the lock.
"""

import logging
import math
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import trio

from expd.dispatch.celery import CeleryEngine
from expd.dispatch.host import LocalHost
from expd.dispatch.pool import Pool
from expd.linux.cgroups import find_delegation, take
from expd.linux.durable import private_directory
from expd.linux.filesystems import check_local
from expd.linux.inotify import Watcher
from expd.linux.processes import become_subreaper
from expd.linux.systemd import Notifier
from expd.queueing.database import Database, set_backup_aside
from expd.queueing.schedule import status_words
from expd.queueing.store import Store
from expd.serve.listener import Address, Door, serve, take_state
from expd.serve.services import Chosen, Services
from expd.serve.session import serve_connection
from expd.settings import BadSettings, Settings, read_settings
from expd.upkeep.hooks import Herald
from expd.upkeep.leftovers import set_unknown_runs_aside
from expd.upkeep.recovering import Recovery
from expd.upkeep.retaining import Collector
from expproto import VERSION, address
from expproto.vocabulary import Ending

_journal = logging.getLogger("expd")

_LAST_WORDS_SECONDS = 3.0
"""At the end, for hooks that tell of the last runs."""


class Daemon:
    """One daemon, from its start to its end."""

    def __init__(self, environ: Mapping[str, str], settings: Settings, ready_descriptor: int | None) -> None:
        self._settings = settings
        self._state_directory = Path(address.state_directory(environ))
        self._address = Address(Path(address.runtime_directory(environ)))
        self._runs_directory = self._state_directory / "runs"
        self._ready_descriptor = ready_descriptor
        self._started_at = 0.0
        self._environ = environ
        self._notifier = Notifier(environ)
        self._is_stopping = False
        self._endings, self._wanted_endings = trio.open_memory_channel[Ending](math.inf)

    async def run(self) -> None:
        """Run until drained; raises AlreadyRunning, StateTaken, NotPrivate, UnusableAddress or StoreUnusable before it is ready."""
        private_directory(self._state_directory)
        private_directory(self._runs_directory)
        check_local(self._state_directory, "EXPD_STATE_DIR")
        self._address.take()
        try:
            state_lock = take_state(self._state_directory, self._address.socket_path)
        except BaseException:
            self._address.give_back()
            raise
        self._started_at = time.time()  # under the lock: what is older was left by somebody before us
        try:
            set_backup_aside(self._state_directory / "queue.db")
            database = Database(self._state_directory / "queue.db")
            database.open()
            try:
                await self._serve(Store(database, self._runs_directory))
            finally:
                database.close()
        finally:
            self._address.give_back()
            os.close(state_lock)

    def stop(self, ending: Ending) -> None:
        """Begin the end; asked again in another way, it goes on in that way."""
        self._is_stopping = True
        self._endings.send_nowait(ending)

    async def _serve(self, store: Store) -> None:
        become_subreaper()
        await store.ensure_pool(self._settings.jobs)
        set_unknown_runs_aside(self._runs_directory, await store.last_run())
        pool = Pool(store, self._settings, self._host(), self._notifier)
        if self._settings.engines.celery is not None:
            pool.employ(CeleryEngine(self._settings.engines.celery, await store.name(), pool, self._host()))
        await pool.recover()
        services = self._services(store, pool)
        listening = self._address.bind(self._environ)
        door = Door()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(services.watcher.run)
            nursery.start_soon(
                serve, listening, door, lambda stream, greeted: serve_connection(stream, services, door, greeted)
            )
            nursery.start_soon(services.recovery.run)
            nursery.start_soon(services.collector.run)
            nursery.start_soon(services.herald.run)
            nursery.start_soon(self._heed_signals, services)
            nursery.start_soon(self._heed_stop, pool)
            self._say_ready(status_words(await store.pool(), draining=False))
            await pool.run()
            await services.herald.finish(_LAST_WORDS_SECONDS)
            nursery.cancel_scope.cancel()
        services.watcher.close()
        _journal.info("stopped")

    def _host(self) -> LocalHost:
        """Give this machine, with the control group that systemd delegated to us, if it did."""
        delegation = find_delegation(self._environ)
        if delegation is not None:
            take(delegation)
        return LocalHost(
            socket_path=self._address.socket_path,
            worker_log=self._state_directory / "workers.log",
            delegated=None if delegation is None else delegation.directory,
        )

    def _services(self, store: Store, pool: Pool) -> Services:
        capturing = set[str]()
        recovery = Recovery(store, self._runs_directory, capturing, self._started_at)
        return Services(
            store=store,
            pool=pool,
            watcher=Watcher(),
            chosen=Chosen(self._settings),
            socket_path=self._address.socket_path,
            state_directory=self._state_directory,
            started_at=self._started_at,
            recovery=recovery,
            herald=Herald(store, self._settings.hooks),
            collector=Collector(store, recovery, self._settings.retention, self._runs_directory, pool.sweep_elsewhere),
            capturing=capturing,
            stop=self.stop,
            is_stopping=lambda: self._is_stopping,
        )

    def _say_ready(self, status: str) -> None:
        """Tell whoever started us, and workers of an earlier daemon, that the socket listens."""
        self._address.announce()
        self._notifier.ready(status)
        _journal.info("expd %s listens at %s", VERSION, self._address.socket_path)
        if self._ready_descriptor is not None:
            os.write(self._ready_descriptor, b"READY\n")
            os.close(self._ready_descriptor)

    async def _heed_signals(self, services: Services) -> None:
        """SIGTERM leaves what runs to its workers: systemd sends it to restart us. SIGINT drains, the second one cancels.

        SIGHUP has the settings read again.
        """
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                _journal.info("%s came", signal.Signals(number).name)
                match number:
                    case signal.SIGHUP:
                        await self._reload(services)
                    case signal.SIGTERM:
                        self.stop(Ending.LEAVE)
                    case _:
                        self.stop(Ending.NOW if self._is_stopping else Ending.DRAIN)

    async def _reload(self, services: Services) -> None:
        """Read the settings again; what can't be used changes nothing."""
        self._notifier.reloading()
        try:
            services.use(await trio.to_thread.run_sync(read_settings, self._environ))
        except BadSettings as error:
            _journal.error("the settings stay as they were: %s", error)
        else:
            _journal.info("the settings were read again")
        self._notifier.ready(status_words(await services.store.pool(), draining=self._is_stopping))

    async def _heed_stop(self, pool: Pool) -> None:
        async for ending in self._wanted_endings:
            _journal.info("ending: %s", ending)
            self._notifier.stopping(f"ending: {ending}")
            match ending:
                case Ending.LEAVE:
                    self._address.withdraw()
                    pool.leave()
                case Ending.DRAIN:
                    pool.drain()
                case Ending.NOW:
                    pool.drain()
                    await pool.hurry("the daemon was told to stop now")
