"""Ended runs on their way to their end in the store: what two tell at once is recorded once."""

from pathlib import Path

from daemon.queues import Queue, run_of
from expd.bell import Bell
from expd.dispatch.host import LocalHost
from expd.dispatch.settling import Settling
from expproto.vocabulary import EntryState


async def test_collecting_is_recorded_once_whoever_says_it(queue: Queue, tmp_path: Path) -> None:
    """Told twice with the same knowledge, by a worker's report and by its end, it changes nothing the second time."""
    await queue.submit("x")
    entry = await queue.take()
    host = LocalHost(socket_path=tmp_path / "expd.sock", worker_log=tmp_path / "workers.log")
    settling = Settling(queue, Bell(), host, 1)

    await settling.collect(entry)
    await settling.collect(entry)

    found = await queue.entry_of_run(run_of(entry))
    assert found is not None
    assert found.state is EntryState.COLLECTING
