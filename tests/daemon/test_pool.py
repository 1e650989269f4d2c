"""The pool beside a scripted worker: what was lost is said again, what was given up is ended, nothing is run twice."""

import os
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from expd.dispatch.host import LocalHost
from expd.dispatch.orders import pack_environment
from expd.dispatch.pool import Pool
from expd.linux.processes import identity_of
from expd.linux.systemd import Notifier
from expd.queueing.database import Cursor, Database
from expd.queueing.entry import Entry, NewEntry, Submission
from expd.queueing.store import Store
from expd.settings import Settings
from expd.wire import Wire
from expproto.messages import Message
from expproto.retries import NO_RETRIES, RetryPolicy
from expproto.vocabulary import EntryState, Failed, Rev, RunId, Succeeded
from expproto.work import Acknowledge, CancelRun, Collecting, Execute, Register, RunEnded, StageStarted

BASELINE = Rev("b" * 40)
DEADLINE_SECONDS = 30
FAILED = Failed(stage="train", exit_code=3)


class Bench:
    """A pool, its store, and scripted workers that are this process to the pool."""

    def __init__(self, directory: Path, nursery: trio.Nursery, jobs: int, notifier: Notifier | None = None) -> None:
        self.database = Database(directory / "queue.db")
        self.database.open()
        self.store = Store(self.database, directory / "runs")
        self.pool = Pool(
            self.store,
            Settings(jobs=jobs),
            LocalHost(socket_path=directory / "expd.sock", worker_log=directory / "workers.log"),
            notifier,
        )
        self._nursery = nursery

    async def queue(self, *names: str, retries: RetryPolicy = NO_RETRIES) -> list[Entry]:
        """Queue entries without waking any worker of the real kind: scripted ones are there before."""
        submission = Submission(
            request_id=random.randbytes(16).hex(), held_as=random.randbytes(4).hex(), git_directory="/repo/.git", workspace="/repo", root=".", directory=".",
            cache="/cache", baseline_rev=BASELINE, message=None, command=("true",), targets=(), force=False, umask=0o22,
            environment=pack_environment(((b"A", b"\xff"),)), submitted_at=1.0, captured_tree=BASELINE,
            retries=retries,
        )  # fmt: skip
        return await self.store.accept(
            submission, [NewEntry(name=name, stash_rev=BASELINE, params={}) for name in names]
        )

    async def connect(self, token: str, run: RunId | None = None, run_token: str | None = None) -> Wire:
        """Register a scripted worker, and give its side of the conversation."""
        ours, theirs = trio.testing.memory_stream_pair()
        worker, daemon = Wire(ours, "worker"), Wire(theirs, "daemon")
        self._nursery.start_soon(self._attend, daemon)
        await worker.greet()
        me = identity_of(os.getpid())
        assert me is not None
        await worker.send(
            Register(
                token=token, pid=me.pid, start_ticks=me.start_ticks, boot_id=me.boot_id, run=run, run_token=run_token
            )
        )
        return worker

    async def _attend(self, daemon: Wire) -> None:
        await daemon.greet()
        register = await daemon.receive()
        assert isinstance(register, Register)
        await self.pool.attend(register, daemon)
        await daemon.close()

    async def state_of(self, entry: Entry) -> EntryState:
        """Give the state an entry has in the store."""
        found = await self.store.entry(entry.id)
        assert found is not None
        return found.state

    async def wait_done(self, entry: Entry) -> Entry:
        """Wait until an entry is done."""
        bell = self.store.changes.of(entry.id)
        while True:
            changed = bell.next_ring
            found = await self.store.entry(entry.id)
            assert found is not None
            if found.state is EntryState.DONE:
                return found
            await changed.wait()


@asynccontextmanager
async def a_bench(directory: Path, jobs: int = 1, notifier: Notifier | None = None) -> AsyncIterator[Bench]:
    """Run a pool for as long as the block."""
    with trio.fail_after(DEADLINE_SECONDS):
        async with trio.open_nursery() as nursery:
            bench = Bench(directory, nursery, jobs, notifier)
            await bench.store.ensure_pool(jobs)
            nursery.start_soon(bench.pool.run)
            yield bench
            nursery.cancel_scope.cancel()
    bench.database.close()


async def _next(worker: Wire) -> Message:
    message = await worker.receive()
    assert message is not None
    return message


async def test_an_order_lost_with_its_connection_is_sent_again(tmp_path: Path) -> None:
    """A worker that lost its connection before it heard the order gets the same run with the same token again."""
    async with a_bench(tmp_path) as bench:
        worker = await bench.connect("one")
        await bench.queue("a")
        first = await _next(worker)
        await worker.close()

        again = await _next(await bench.connect("one"))

    assert isinstance(first, Execute)
    assert again == first


async def test_a_run_that_was_given_up_is_ended(tmp_path: Path) -> None:
    """A worker that comes back with a run the store knows nothing of, or has ended, is told to end it."""
    async with a_bench(tmp_path) as bench:
        order = await _next(await bench.connect("one", run=RunId(77), run_token="of another store"))

    assert order == CancelRun(run=RunId(77), reason="this attempt was given up")


async def test_a_report_under_another_token_changes_nothing(tmp_path: Path) -> None:
    """The end of an older attempt is acknowledged, so that its worker forgets it, and is not the entry's outcome."""
    async with a_bench(tmp_path) as bench:
        worker = await bench.connect("one")
        (entry,) = await bench.queue("a")
        order = await _next(worker)
        assert isinstance(order, Execute)

        stranger = await bench.connect("two")
        await stranger.send(RunEnded(run=order.run, run_token="older", outcome=FAILED, ended_at=2.0))
        answer = await _next(stranger)
        state = await bench.state_of(entry)

    assert (answer, state) == (Acknowledge(run=order.run), EntryState.PREPARING)


async def test_an_ended_run_is_recorded_once_and_its_worker_gets_the_next(tmp_path: Path) -> None:
    """A run that is reported twice has one outcome; the worker is handed the entry behind it."""
    async with a_bench(tmp_path) as bench:
        worker = await bench.connect("one")
        first, second = await bench.queue("a", "b")
        order = await _next(worker)
        assert isinstance(order, Execute)
        ended = RunEnded(run=order.run, run_token=order.run_token, outcome=FAILED, ended_at=2.0)
        await worker.send(StageStarted(run=order.run, run_token=order.run_token, stage="train"))

        await worker.send(ended)
        await worker.send(ended)
        done = await bench.wait_done(first)
        heard = [await _next(worker) for _message in range(3)]

    assert done.outcome == FAILED
    assert heard.count(Acknowledge(run=order.run)) == 2
    assert [message.entry for message in heard if isinstance(message, Execute)] == [second.id]


async def test_no_more_run_than_there_are_jobs(tmp_path: Path) -> None:
    """With one slot and two idle workers, one of two entries runs and the other waits."""
    async with a_bench(tmp_path, jobs=1) as bench:
        workers = [await bench.connect(token) for token in ("one", "two")]
        await trio.testing.wait_all_tasks_blocked(0.05)
        first, second = await bench.queue("a", "b")
        orders: list[Message] = []

        async def listen(worker: Wire) -> None:
            orders.append(await _next(worker))

        async with trio.open_nursery() as nursery:
            for worker in workers:
                nursery.start_soon(listen, worker)
            await trio.testing.wait_all_tasks_blocked(0.2)
            states = (await bench.state_of(first), await bench.state_of(second))
            nursery.cancel_scope.cancel()

    assert len(orders) == 1
    assert states == (EntryState.PREPARING, EntryState.QUEUED)


@pytest.mark.parametrize("connected_first", [True, False])
async def test_a_wish_to_cancel_reaches_the_worker(tmp_path: Path, *, connected_first: bool) -> None:
    """A cancel is told at once, or when the worker is back."""
    async with a_bench(tmp_path) as bench:
        worker = await bench.connect("one")
        (entry,) = await bench.queue("a")
        order = await _next(worker)
        assert isinstance(order, Execute)
        if not connected_first:
            await worker.close()

        await bench.pool.cancel([entry.id], "enough")
        if not connected_first:
            worker = await bench.connect("one", run=order.run, run_token=order.run_token)
        told = await _next(worker)

    assert isinstance(told, CancelRun)
    assert (told.run, told.reason, told.at is not None) == (order.run, "enough", True)


async def test_a_run_that_failed_is_run_again_when_its_time_comes(tmp_path: Path) -> None:
    """The next attempt has a run and a token of its own, and no other event has to wake the pool for it."""
    async with a_bench(tmp_path) as bench:
        worker = await bench.connect("one")
        await bench.queue("a", retries=RetryPolicy(retries=1, backoff_seconds=0.2))
        first = await _next(worker)
        assert isinstance(first, Execute)

        await worker.send(RunEnded(run=first.run, run_token=first.run_token, outcome=FAILED, ended_at=2.0))
        heard = [await _next(worker) for _message in range(2)]

    (again,) = [message for message in heard if isinstance(message, Execute)]
    assert (again.entry, again.attempt) == (first.entry, 2)
    assert (again.run != first.run, again.run_token != first.run_token) == (True, True)


LATE: dict[str, Callable[[Execute], Message]] = {
    "ended": lambda old: RunEnded(run=old.run, run_token=old.run_token, outcome=Succeeded(rev=BASELINE), ended_at=2.0),
    "collecting": lambda old: Collecting(run=old.run, run_token=old.run_token),
    "started": lambda old: StageStarted(run=old.run, run_token=old.run_token, stage="train"),
    "with the new token": lambda old: Collecting(run=RunId(old.run + 1), run_token=old.run_token),
}


@pytest.mark.parametrize("late", list(LATE.values()), ids=list(LATE))
async def test_a_late_report_of_an_earlier_attempt_changes_nothing(
    tmp_path: Path, late: Callable[[Execute], Message]
) -> None:
    """While the second attempt is under way, whatever is said of the first is passed over, also as if it were the second's."""
    async with a_bench(tmp_path) as bench:
        worker = await bench.connect("one")
        (entry,) = await bench.queue("a", retries=RetryPolicy(retries=1, backoff_seconds=0.0))
        first = await _next(worker)
        assert isinstance(first, Execute)
        await worker.send(RunEnded(run=first.run, run_token=first.run_token, outcome=FAILED, ended_at=2.0))
        while not isinstance(await _next(worker), Execute):
            pass
        before = await bench.store.entry(entry.id)
        stale = await bench.connect("two")

        await stale.send(late(first))
        await stale.send(RunEnded(run=first.run, run_token=first.run_token, outcome=FAILED, ended_at=2.0))
        answer = await _next(stale)
        after = await bench.store.entry(entry.id)

    assert isinstance(answer, Acknowledge)  # both were heard by then
    assert before is not None
    assert (before.attempt, before.state) == (2, EntryState.PREPARING)
    assert after == before


async def test_a_round_that_hangs_feeds_no_watchdog(tmp_path: Path) -> None:
    """The watchdog is fed by the task that schedules: while it waits for a store that does not answer, nothing is fed."""
    address, held, released = tmp_path / "notify", threading.Event(), threading.Event()

    def hold_up(_cursor: Cursor) -> None:
        held.set()
        released.wait(DEADLINE_SECONDS)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        notifier = Notifier({"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "100000"})
        listening = trio.socket.from_stdlib_socket(manager)
        async with a_bench(tmp_path, notifier=notifier) as bench:
            while "WATCHDOG=1" not in (await listening.recv(4096)).decode():
                pass

            async with trio.open_nursery() as nursery:
                nursery.start_soon(bench.database.run, hold_up)
                await trio.to_thread.run_sync(held.wait)
                bench.pool.ring()
                with trio.move_on_after(1.0) as silence:  # ten times what the watchdog allows
                    while True:
                        await listening.recv(4096)
                        silence.deadline = trio.current_time() + 1.0
                released.set()

            while "WATCHDOG=1" not in (await listening.recv(4096)).decode():
                pass

    assert silence.cancelled_caught
