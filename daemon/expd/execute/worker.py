"""The worker: warm, runs one entry after the other, and outlives the daemon.

If the daemon dies, the run goes on; its outcome is written to disk before it is reported, the worker connects again as
soon as a daemon listens, registers with the run it is in, and says what was not heard. With no run it leaves at once.
Under a daemon of another protocol the run goes on to its end as if there were none; that daemon reads the outcome.
"""

import logging
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import trio

from expd.bell import Bell, wait_first
from expd.execute.context import Surveyor, context_of
from expd.execute.patience import Patience
from expd.execute.progress import ProgressTeller, progress_of
from expd.execute.record import write_record
from expd.execute.run import Run
from expd.linux.inotify import Watcher
from expd.linux.presence import server_of
from expd.linux.processes import ProcessIdentity, identity_of
from expd.pipeline.memo import HashMemo
from expd.wire import Wire
from expproto.errors import VERSION_MISMATCH, ProtocolError
from expproto.messages import Message
from expproto.progress import RunProgress
from expproto.vocabulary import RunId
from expproto.work import (
    Acknowledge,
    CancelRun,
    Execute,
    FreezeRun,
    Leave,
    Obstacle,
    Progress,
    Register,
    Report,
    RunEnded,
    ThawRun,
)

_journal = logging.getLogger("expd.execute")

ABANDONED_SECONDS = 60.0
"""How long a worker whose run has ended waits for a daemon before it leaves; the outcome is on the disk anyway."""

_REFUSED_SECONDS = 1.0
"""Before asking a daemon again that would not talk to us: one of another version, say; the outcome is on the disk."""
_CLOSE_SECONDS = 1.0
"""Closing a local socket waits for nobody; a bound, because no clean-up may last for ever."""


@dataclass(slots=True)
class _Current:
    """The run under way, and the newest thing said of it."""

    run: Run
    order: Execute
    last_report: Report | None = None
    obstacle: Obstacle | None = None


class Worker:
    """One worker process; `work` lives as long as it does."""

    def __init__(self, socket_path: Path, token: str, delegated: Path | None = None) -> None:
        self._socket_path = socket_path
        self._token = token
        self._delegated = delegated
        self._watcher = Watcher()
        self._memo = HashMemo()
        self._surveyor = Surveyor()
        self._wire: Wire | None = None
        self._current: _Current | None = None
        self._unheard: dict[RunId, RunEnded] = {}
        self._idle = Bell()
        self._foreign: ProcessIdentity | None = None
        self._dismissed = False

    async def work(self) -> None:
        """Serve daemons, one after the other, until there is nothing left to do for any."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watcher.run)
            while True:
                if not await self._serve_one_daemon(nursery):
                    await trio.sleep(_REFUSED_SECONDS)
                if self._leaving or not await self._wait_for_daemon():
                    break
            nursery.cancel_scope.cancel()

    async def _serve_one_daemon(self, nursery: trio.Nursery) -> bool:
        """Serve one daemon for as long as it is there; False if it would not have us."""
        registered = False
        daemon = server_of(self._socket_path)
        try:
            stream = await trio.open_unix_socket(self._socket_path)
        except OSError:
            return True
        wire = Wire(stream, "worker")
        try:
            await wire.greet()
            await wire.send(self._registration())
            self._wire = wire
            await self._catch_up()
            registered = True
            while not self._leaving and (order := await wire.receive()) is not None:
                await self._obey(order, nursery)
        except (ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel) as reason:
            _journal.info("the daemon is gone: %r", reason)
            if isinstance(reason, ProtocolError) and reason.code == VERSION_MISMATCH:
                self._foreign = daemon
        finally:
            self._wire = None
            with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                await wire.close()
        return registered

    def _registration(self) -> Register:
        """Say who we are; before this is heard nothing else makes sense."""
        me = identity_of(os.getpid())
        assert me is not None
        order = None if self._current is None else self._current.order
        return Register(
            token=self._token,
            pid=me.pid,
            start_ticks=me.start_ticks,
            boot_id=me.boot_id,
            run=None if order is None else order.run,
            run_token=None if order is None else order.run_token,
            ended=tuple(self._unheard),
            frozen=self._current is not None and self._current.run.freezer.is_wanted,
        )

    async def _catch_up(self) -> None:
        """Say what the last daemon may not have heard."""
        current = self._current
        if current is not None and current.last_report is not None:
            await self._send(current.last_report)
            progress = progress_of(current.run.timings, current.run.live)
            await self._send(Progress(run=current.order.run, run_token=current.order.run_token, progress=progress))
            if current.obstacle is not None:
                await self._send(current.obstacle)
        for ended in list(self._unheard.values()):
            await self._send(ended)

    @property
    def _leaving(self) -> bool:
        """Tell whether this is the end: it was told to leave, and the daemon knows all there is to know."""
        return self._dismissed and self._current is None and not self._unheard

    async def _obey(self, order: Message, nursery: trio.Nursery) -> None:
        match order:
            case Execute() if self._current is None:
                run = Run(order, self._tell, self._memo, self._patience(order), self._delegated)
                self._current = _Current(run=run, order=order)
                nursery.start_soon(self._execute, self._current)
            case CancelRun(run=run_id, reason=reason, at=at, signal=number):
                if self._current is not None and self._current.order.run == run_id:
                    self._current.run.cancel(reason, at, number)
            case FreezeRun(run=run_id) | ThawRun(run=run_id):
                if self._current is not None and self._current.order.run == run_id:
                    self._current.run.freezer.want(frozen=isinstance(order, FreezeRun))
            case Acknowledge(run=run_id):
                self._unheard.pop(run_id, None)
                self._idle.ring()
            case Leave():
                self._dismissed = True
            case _:
                _journal.warning("an order makes no sense now: %s", order.kind)

    async def _execute(self, current: _Current) -> None:
        order = current.order
        found = await trio.to_thread.run_sync(self._surveyor.survey, order)  # first: the end of a run ends all below us
        teller = ProgressTeller(
            current.run.timings, current.run.live, self._watcher, lambda progress: self._tell_progress(order, progress)
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(teller.run)
            nursery.start_soon(current.run.mind, self._watcher)
            outcome = await current.run.execute()
            nursery.cancel_scope.cancel()
        ended = RunEnded(
            run=order.run,
            run_token=order.run_token,
            outcome=outcome,
            ended_at=time.time(),
            progress=progress_of(current.run.timings, current.run.live),
            context=context_of(order, found, current.run.timings),
        )
        try:
            await self._patience(order).keep_trying(lambda: trio.to_thread.run_sync(_put_away, current.run, ended))
        except OSError as error:
            _journal.error("the outcome of run %s can't be written: %s; it is only reported", order.run, error)
        self._unheard[order.run] = ended
        self._current = None
        self._idle.ring()
        await self._try_send(ended)

    async def _tell(self, report: Report) -> None:
        if isinstance(report, Obstacle) and self._current is not None:
            self._current.obstacle = report
        elif self._current is not None:
            self._current.last_report = report
        await self._try_send(report)

    def _patience(self, order: Execute) -> Patience:
        return Patience(lambda what: self._tell(Obstacle(run=order.run, run_token=order.run_token, what=what)))

    async def _tell_progress(self, order: Execute, progress: RunProgress) -> None:
        await self._try_send(Progress(run=order.run, run_token=order.run_token, progress=progress))

    async def _try_send(self, report: Report) -> None:
        """Report if a daemon listens; else the next one is told."""
        try:
            await self._send(report)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def _send(self, report: Report) -> None:
        if self._wire is not None:
            await self._wire.send(report)

    async def _wait_for_daemon(self) -> bool:
        """Wait until a daemon serves the socket again; False once there is nothing left to wait for."""
        deadline = math.inf
        while self._current is not None or self._unheard:
            if self._current is None and self._foreign is not None and server_of(self._socket_path) == self._foreign:
                return False  # it reads the outcome from the disk, and waits for our end to do so
            if self._current is None:
                deadline = min(deadline, trio.current_time() + ABANDONED_SECONDS)
            directory = _nearest_directory(self._socket_path)
            try:
                found = await self._look_and_wait(directory, deadline)
            except OSError as error:  # the directory went in this moment, or the user has no inotify watch left
                _journal.warning("%s can't be watched: %s", directory, error)
                await trio.sleep(_REFUSED_SECONDS)
                continue
            if found is not None:
                return found
        return False

    async def _look_and_wait(self, directory: Path, deadline: float) -> bool | None:
        """Look once, then wait until something changed in a directory; None if it is to be looked again."""
        bell = Bell()
        with self._watcher.ringing(directory, bell):
            appeared, idle = bell.next_ring, self._idle.next_ring
            if await self._can_connect():
                return True
            if directory != _nearest_directory(self._socket_path):
                return None
            with trio.move_on_at(deadline) as waiting:
                await wait_first(appeared, idle)
            return False if waiting.cancelled_caught else None

    async def _can_connect(self) -> bool:
        # no attempt without a daemon: where systemd listens, it would start one that was stopped
        if server_of(self._socket_path) in {None, self._foreign}:
            return False
        try:
            stream = await trio.open_unix_socket(self._socket_path)
        except OSError:
            return False
        await trio.aclose_forcefully(stream)
        return True


def _put_away(run: Run, ended: RunEnded) -> None:
    """Leave the log of a run that has ended, and then its outcome, on the disk; blocks. Raises OSError."""
    run.put_away()
    write_record(ended, Path(run.order.record))


def _nearest_directory(path: Path) -> Path:
    """Give the closest directory above a path that exists: the runtime directory may go with a logout, and come back."""
    return next(parent for parent in path.parents if parent.is_dir())
