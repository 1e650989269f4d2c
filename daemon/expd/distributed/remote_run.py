"""One attempt on a worker host: claimed on the hub, executed by the worker process that every host has, pushed to the hub.

The worker process takes this program for its daemon: it comes to a socket of our own, and kill, limits, stack dumps,
marks and progress are what they are anywhere.
"""

import logging
import os
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from expd.distributed.broker import Desk, TryLater
from expd.distributed.dvcdata import DataNotPushed, push_outputs
from expd.distributed.hub import Hub, HubFailed, HubLacks, cargo_ref, claim_ref, module_ref, result_ref
from expd.distributed.inputs import DataStuck, Inputs, fetch_inputs
from expd.distributed.messages import Gone, ResultPushed, Task, order_of
from expd.distributed.premises import Premises, RunDirectory
from expd.distributed.telling import Teller
from expd.distributed.workers import Worker, WorkerGone, Workers
from expd.execute.environment import run_environment
from expd.execute.record import read_record
from expd.gitio.errors import GitFailed
from expd.gitio.refs import ENTRIES
from expd.linux.inotify import Watcher
from expd.linux.processes import kill_token
from expd.wire import Wire
from expproto.codec import encode
from expproto.messages import message_to_map
from expproto.vocabulary import Refused, Rev, Succeeded
from expproto.work import (
    Acknowledge,
    CancelRun,
    Collecting,
    Execute,
    Obstacle,
    Order,
    Progress,
    RunEnded,
    StageStarted,
)

_journal = logging.getLogger("expd.distributed")

_HUB_BACKOFF_SECONDS, _HUB_BACKOFF_MAX_SECONDS = 1.0, 60.0
_LATER_SECONDS = 10.0
"""Before a task goes back to its queue because the hub can't be reached from here: another host may do better."""
_LAST_WORDS_SECONDS = 1.0
"""For what a worker process said before its end to be heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all attempts on a host share."""

    host: str
    hub_url: str
    premises: Premises
    desk: Desk
    workers: Workers

    @property
    def hub(self) -> Hub:
        """Give the hub, as seen from this host's repository."""
        return Hub(url=self.hub_url, git_directory=self.premises.hub_cache.git_directory)


class RemoteRun:
    """One attempt; `carry_out` does all of it, `cancel` ends it from another task of the same loop."""

    def __init__(self, task: Task, around: Surroundings) -> None:
        self.task = task
        self.order = order_of(task)
        self._around = around
        self._wish: CancelRun | None = None
        self._claim_rev: Rev | None = None
        self._orders, self._ordered = trio.open_memory_channel[Order](16)

    def cancel(self, reason: str, at: float | None) -> None:
        """End the run and all it started; the first wish counts."""
        if self._wish is None:
            self._wish = CancelRun(run=self.order.run, reason=reason, at=at)
            self._orders.send_nowait(self._wish)

    async def carry_out(self) -> None:
        """Do it, if nobody else does; raises TryLater if the hub can't be reached."""
        cache = self._around.premises.hub_cache
        lock = await trio.to_thread.run_sync(cache.share)
        try:
            await self._carry_out()
        finally:
            os.close(lock)

    async def _carry_out(self) -> None:
        self._claim_rev = await self._claim()
        if self._claim_rev is None:
            _journal.info("attempt %s is somebody else's, or over: passed over", self.task.token)
            return
        with self._around.premises.run_directory(self.task.token) as directory:
            teller = Teller(self.task, self._around.host, self._around.desk, directory.log, directory.marks)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(teller.run)
                pushed = await self._run_and_push(directory, teller)
                nursery.cancel_scope.cancel()
            with trio.move_on_after(self.task.lease_seconds):  # if the broker is away the daemon finds it on the hub
                await teller.insist(pushed)

    async def _claim(self) -> Rev | None:
        """Fetch what is to be run, and be the one who runs it; gives the commit that says so."""
        task, hub = self.task, self._around.hub
        make = self._around.premises.claim_commit
        claim = await trio.to_thread.run_sync(make, task, self._around.host, secrets.token_hex(8), time.time())
        entry, ref = f"{ENTRIES}{task.held_as}", claim_ref(task.held_as, task.token)
        try:
            held = await self._hold()
            while not await hub.push_new({ref: claim}, while_there={entry: held}):
                there = await hub.list_refs([entry, ref])
                if ref in there or there.get(entry) in {None, held}:
                    return None
                held = await self._hold(anew=True)  # another entry of the submission was edited since
        except HubLacks:
            _journal.info("%s is not on the hub any more: passed over", entry)
            return None
        except HubFailed as failed:
            what = failed.what
        else:
            return claim
        _journal.warning("%s", what)
        await trio.sleep(_LATER_SECONDS)
        raise TryLater(what)

    async def _hold(self, *, anew: bool = False) -> Rev:
        """Have the submission in the cache; gives what its ref is on the hub, as far as that is known here. Raises HubFailed."""
        task, cache = self.task, self._around.premises.hub_cache
        for is_fetched in (anew, True):
            if is_fetched:
                refs = [f"{ENTRIES}{task.held_as}", *([] if task.cargo is None else [cargo_ref(task.held_as)])]
                await self._around.hub.fetch([f"+{ref}:{ref}" for ref in refs])
            held = await trio.to_thread.run_sync(cache.held, task.held_as, task.stash_rev, task.cargo)
            if held is not None:
                return held
        raise HubLacks(f"what is to be run is not in {task.held_as} any more")

    async def _run_and_push(self, directory: RunDirectory, teller: Teller) -> ResultPushed | Gone:
        with self._around.premises.worktree() as worktree:
            ended = await self._attempt(directory, worktree, teller)
        if isinstance(ended, Gone):
            await trio.to_thread.run_sync(kill_token, self.task.token)
            return ended
        if await self._push_result(ended, directory):
            return ResultPushed(run=self.order.run, token=self.task.token)
        return Gone(run=self.order.run, token=self.task.token, how="the hub has given it up")

    async def _attempt(self, directory: RunDirectory, worktree: Path, teller: Teller) -> RunEnded | Gone:
        try:
            make = self._around.premises.order
            order = await trio.to_thread.run_sync(make, self.task, directory, worktree)
            await fetch_inputs(_inputs_of(order), directory.inputs, run_environment(order))
            return await self._push_data(await self._execute(order, directory, teller), order, directory)
        except WorkerGone as gone:
            return Gone(run=self.order.run, token=self.task.token, how=str(gone))
        except DataStuck as error:
            return self._refused(str(error))
        except (GitFailed, OSError) as error:
            return self._refused(f"the run could not be prepared on {self._around.host}: {error}")

    def _refused(self, reason: str) -> RunEnded:
        return RunEnded(
            run=self.order.run, run_token=self.task.token, outcome=Refused(reason=reason), ended_at=time.time()
        )

    # --- execution

    async def _execute(self, order: Execute, directory: RunDirectory, teller: Teller) -> RunEnded:
        """Have the order run; raises WorkerGone for a worker process that ended without an outcome, told or written."""
        try:
            return await self._execute_in_worker(order, directory, teller)
        except WorkerGone as error:
            gone = error
        written = await trio.to_thread.run_sync(read_record, directory.record)
        if written is None:
            raise gone
        return written

    async def _execute_in_worker(self, order: Execute, directory: RunDirectory, teller: Teller) -> RunEnded:
        async with self._around.workers.borrow() as worker:
            watcher = Watcher()
            try:
                return await self._watch(worker, watcher, order, directory, teller)
            except* WorkerGone as gone:
                words = _words_of(gone)
            finally:
                watcher.close()
            raise WorkerGone(words)

    async def _watch(
        self, worker: Worker, watcher: Watcher, order: Execute, directory: RunDirectory, teller: Teller
    ) -> RunEnded:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run)
            nursery.start_soon(_notice_end, worker.process)
            with watcher.ringing(directory.log, teller.bell), watcher.ringing(directory.marks, teller.bell):
                ended = await self._converse(worker.wire, order, teller)
            nursery.cancel_scope.cancel()
        return ended

    async def _converse(self, wire: Wire, order: Execute, teller: Teller) -> RunEnded:
        await wire.send(order)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass_orders_on, wire)
            ended = await self._hear_end(wire, teller)
            nursery.cancel_scope.cancel()
        await wire.send(Acknowledge(run=order.run))
        return ended

    async def _hear_end(self, wire: Wire, teller: Teller) -> RunEnded:
        while True:
            match await wire.receive():
                case RunEnded() as ended:
                    return ended
                case (StageStarted() | Progress() | Collecting() | Obstacle()) as report:
                    teller.report(report)
                case None:
                    raise WorkerGone("its worker process closed the connection")
                case _:
                    continue

    async def _pass_orders_on(self, wire: Wire) -> None:
        async for order in self._ordered:
            await wire.send(order)

    # --- what comes of it

    async def _push_data(self, ended: RunEnded, order: Execute, directory: RunDirectory) -> RunEnded:
        """Bring outputs to the DVC remote; a result whose data nobody else can have is none."""
        if not self.task.pushes_data or not isinstance(ended.outcome, Succeeded):
            return ended
        try:
            await push_outputs(order, directory.log)
        except DataNotPushed as error:
            return replace(ended, outcome=Refused(reason=str(error)), ended_at=time.time())
        return ended

    async def _push_result(self, ended: RunEnded, directory: RunDirectory) -> bool:
        """Put the result on the hub, however long that takes; False if the attempt is not wanted there any more."""
        assert self._claim_rev is not None
        task, backoff = self.task, _HUB_BACKOFF_SECONDS
        result = await trio.to_thread.run_sync(self._result, ended, directory)
        claim = {claim_ref(task.held_as, task.token): self._claim_rev}
        hub = Hub(url=self._around.hub_url, git_directory=directory.git_directory)
        while True:
            try:
                is_there = await hub.push_new(result, while_there=claim)
            except HubFailed as failed:
                _journal.warning("the result of attempt %s waits: %s", task.token, failed.what)
                await trio.sleep(backoff)
                backoff = min(2 * backoff, _HUB_BACKOFF_MAX_SECONDS)
            else:
                if not is_there:
                    _journal.warning("attempt %s was given up: its result is dropped", task.token)
                return is_there

    def _result(self, ended: RunEnded, directory: RunDirectory) -> dict[str, Rev]:
        """Make what goes to the hub: the result, and what was left in submodules, each with its ref."""
        premises, (held_as, token) = self._around.premises, (self.task.held_as, self.task.token)
        modules = premises.left_in_modules(self.task, ended, directory)
        commit = premises.result_commit(ended, encode(message_to_map(ended)), modules, directory)
        refs = {module_ref(held_as, token, number): rev for number, (_path, rev) in enumerate(modules)}
        return {result_ref(held_as, token): commit, **refs}

    def state(self) -> dict[str, object]:
        """Say what runs, for who asks the host."""
        return {"store": self.task.store, "token": self.task.token, "entry": self.order.entry, "name": self.order.name}


def _inputs_of(order: Execute) -> Inputs:
    return Inputs(
        git_directory=Path(order.git_directory),
        stash_rev=order.stash_rev,
        root=order.root,
        project=Path(order.origin_root),
        cache=Path(order.cache),
    )


def _words_of(group: BaseExceptionGroup[WorkerGone]) -> str:
    """Give what the first of these says, however deep it is."""
    first = group.exceptions[0]
    return _words_of(first) if isinstance(first, BaseExceptionGroup) else str(first)


async def _notice_end(process: trio.Process) -> None:
    """End the conversation with a process that has ended, unless it was over."""
    code = await process.wait()
    await trio.sleep(_LAST_WORDS_SECONDS)  # what it said last is heard first; after the end of a run this is cancelled
    raise WorkerGone(f"its worker process ended with code {code}")
