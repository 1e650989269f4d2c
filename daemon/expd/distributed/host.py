"""The program `expd worker --engine celery`: a Celery worker whose one task is to carry out attempts, a thread a slot.

It needs the broker and the hub, no daemon and no shared file system. Told to leave (SIGTERM) it finishes what runs and
takes nothing new; what it leaves when it is killed is ended by the next one, and lost by its lease.
"""

import logging
import math
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from expd.distributed.broker import Desk, TryLater, work
from expd.distributed.hub import check_hub
from expd.distributed.link import address_of
from expd.distributed.messages import queue_of, task_from
from expd.distributed.premises import Premises
from expd.distributed.remote_run import RemoteRun, Surroundings
from expd.distributed.workers import Workers
from expd.linux.durable import private_directory
from expd.linux.processes import kill_token
from expd.settings import CelerySettings
from expproto.address import state_directory
from expproto.errors import RemoteProtocolError

_journal = logging.getLogger("expd.distributed")

_BETWEEN_SHEDS_SECONDS = 600.0
"""At least, while nothing runs: what was run here is not looked through after each run."""


@dataclass(slots=True)
class _Slots:
    """What runs on this host, known to all its threads."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    runs: dict[str, RemoteRun] = field(default_factory=dict)


class WorkerHost:
    """One worker program of a host."""

    def __init__(self, settings: CelerySettings, environ: Mapping[str, str], queues: Sequence[str], slots: int) -> None:
        self._settings = settings
        self._queues = queues or [queue_of(None)]
        self._count = slots
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        directory = Path(private_directory(Path(state_directory(environ))), "worker")
        self._around = Surroundings(
            host=self.name,
            hub_url=check_hub(settings.hub),
            premises=Premises(directory, None if settings.dvc_config is None else Path(settings.dvc_config)),
            desk=Desk(address_of(settings)),
            workers=Workers(),
        )
        self._slots = _Slots()
        self._loop: trio.lowlevel.TrioToken | None = None
        self._shed_at = -math.inf

    def work(self) -> int:
        """Work until told to leave; gives the exit code. Raises OSError or CalledProcessError if it can't begin."""
        self._around.premises.make()
        for token in self._around.premises.abandoned():
            _journal.warning("attempt %s was left behind by a worker that has ended: what lives of it is ended", token)
            kill_token(token)
        started = threading.Event()
        threading.Thread(target=trio.run, args=(self._run_loop, started), daemon=True).start()
        started.wait()
        _journal.info("worker %s: %s slots, queues %s", self.name, self._count, ", ".join(self._queues))
        return work(
            address_of(self._settings),
            self._settings.visibility_seconds,
            name=f"expd@{self.name}",
            queues=self._queues,
            slots=self._count,
            run=self._run,
            cancel=self._cancel,
            state=self._state,
        )

    async def _run_loop(self, started: threading.Event) -> None:
        """Be the one event loop in which all slots' runs are; for as long as the program."""
        self._loop = trio.lowlevel.current_trio_token()
        started.set()
        await trio.sleep_forever()

    def _run(self, value: object) -> None:
        """Carry out one task, while this thread waits; raises TryLater."""
        try:
            task = task_from(value)
        except RemoteProtocolError as error:
            _journal.error("a task is passed over: %s", error.what)
            return
        try:
            trio.from_thread.run(self._carry_out, RemoteRun(task, self._around), trio_token=self._loop)
        except* TryLater:
            raise TryLater(f"attempt {task.token}: the hub can't be reached from {self.name}") from None

    async def _carry_out(self, run: RemoteRun) -> None:
        with self._slots.lock:
            self._slots.runs.setdefault(run.task.token, run)
        try:
            await run.carry_out()
        finally:
            with self._slots.lock:
                if self._slots.runs.get(run.task.token) is run:
                    del self._slots.runs[run.task.token]
        now = trio.current_time()
        if not self._slots.runs and now - self._shed_at >= _BETWEEN_SHEDS_SECONDS:
            self._shed_at = now
            await trio.to_thread.run_sync(self._around.premises.hub_cache.shed)

    def _cancel(self, token: str, reason: str, at: float | None) -> bool:
        """End a run if it is here."""
        with self._slots.lock:
            run = self._slots.runs.get(token)
        if run is None or self._loop is None:
            return False
        self._loop.run_sync_soon(run.cancel, reason, at)
        return True

    def _state(self) -> dict[str, object]:
        """Say what runs here."""
        with self._slots.lock:
            runs = [run.state() for run in self._slots.runs.values()]
        return {"host": self.name, "slots": self._count, "queues": list(self._queues), "runs": runs}
