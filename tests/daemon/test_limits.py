"""The limits of a run in a real worker: reached, told, and not too early; and where its Python processes hung."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from daemon.scripted import ScriptedDaemon, a_scripted_daemon, an_order, told_of
from expd.execute.confinement import Confinement
from expd.execute.freezing import Freezer
from expd.execute.limits import Watch, _Signs
from expd.execute.runlog import RunLog
from expd.execute.timings import Timings
from expproto.limits import RunLimits
from expproto.vocabulary import Limit, Outcome, OutOfMemory, Succeeded, TimedOut
from helpers.daemons import DEADLINE_SECONDS
from helpers.repositories import git

HANGS = """
import os, sys, threading, time
def hangs_in_a_thread():
    open(sys.argv[1]).read()
def hangs_in_the_main_thread():
    open(sys.argv[1]).read()
threading.Thread(target=hangs_in_a_thread, daemon=True).start()
try:
    hangs_in_the_main_thread()
except KeyboardInterrupt:
    print("checkpoint saved")
"""
BUSY = """
import time
while time.process_time() < 1.5: pass
"""


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[ScriptedDaemon]:
    """Give a daemon that the test plays."""
    with a_scripted_daemon(tmp_path) as daemon:
        yield daemon


@pytest.fixture
def never(tmp_path: Path) -> Path:
    """Give a FIFO that nobody ever writes to."""
    os.mkfifo(tmp_path / "never")
    return tmp_path / "never"


@pytest.mark.parametrize(
    "limits",
    [RunLimits(time_seconds=0.6), RunLimits(stall_seconds=0.6, time_seconds=3600.0)],
    ids=["time", "stall"],
)
def test_a_run_that_hangs_is_ended_and_tells_where(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path, never: Path, limits: RunLimits
) -> None:
    """The outcome has the limit; the log has the stack of each thread, and the process still heard SIGINT after that."""
    command = ("sh", "-c", f"{sys.executable} -c '{HANGS}' {never}; exit $?")
    order = an_order(tmp_path, repository, command, limits=limits, grace_seconds=float(DEADLINE_SECONDS))

    outcome = scripted.run(order)

    said = Path(order.log).read_text()
    limit = Limit.STALL if limits.time_seconds == 3600.0 else Limit.TIME
    assert isinstance(outcome, TimedOut)
    assert (outcome.limit, outcome.limit_seconds, outcome.stage) == (limit, 0.6, "command")
    assert outcome.seconds >= 0.6
    assert "hangs_in_a_thread" in said
    assert "hangs_in_the_main_thread" in said
    assert said.index("hangs_in_the_main_thread") < said.index("checkpoint saved")
    assert "limit" in told_of(order)


def test_a_stage_of_a_pipeline_has_the_limit_too(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path, never: Path
) -> None:
    """The limit counts from the first stage on, and the outcome names the one it ended."""
    (repository / "train.sh").write_text(f"cat {never}\n")
    git(repository, "commit", "--quiet", "--all", "--message", "hangs")

    outcome = scripted.run(an_order(tmp_path, repository, limits=RunLimits(time_seconds=0.2)))

    assert isinstance(outcome, TimedOut)
    assert outcome.stage == "train"


@pytest.mark.parametrize(
    ("command", "limits"),
    [
        ((sys.executable, "-c", BUSY), RunLimits(stall_seconds=0.5)),
        (("sh", "-c", f"{sys.executable} -c '{BUSY}'; exit $?"), RunLimits(stall_seconds=0.5)),
        (("true",), RunLimits(time_seconds=3600.0, stall_seconds=3600.0)),
    ],
    ids=["works in silence", "lets a child work", "is quick"],
)
def test_a_run_that_works_is_left_alone(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path, command: tuple[str, ...], limits: RunLimits
) -> None:
    """Who uses a processor, itself or through a child, does not stall, and who is done waits for no limit."""
    assert isinstance(scripted.run(an_order(tmp_path, repository, command, limits=limits)), Succeeded)


BEFORE = _Signs((100, 5), 10.0)


@pytest.mark.parametrize(
    ("now", "seconds", "is_idle"),
    [
        (BEFORE, 60.0, True),
        (_Signs((101, 6), 10.0), 60.0, False),
        (_Signs((100, 6), 10.0), 60.0, False),
        (_Signs((100, 5), 10.01), 60.0, True),
        (_Signs((100, 5), 10.1), 60.0, False),
        (_Signs((100, 5), 10.01), 1.0, False),
        (_Signs((100, 5), 9.0), 60.0, False),
    ],
    ids=["nothing", "output", "overwritten", "heartbeat", "work", "a tick soon", "a process ended"],
)
def test_idleness_is_no_output_and_no_work(now: _Signs, seconds: float, is_idle: bool) -> None:
    """A thousandth of a processor, as a heartbeat takes it, is no work; anything written is a sign of life."""
    assert now.is_idle_since(BEFORE, seconds) == is_idle


async def test_no_time_passes_while_a_run_is_frozen(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The limit does not count the hour in which it stood still; the time that is told is the one in which it went on."""
    reached = list[TimedOut | OutOfMemory]()
    began_at, freezer = autojump_clock.current_time(), Freezer()
    limits = RunLimits(time_seconds=10.0)
    watch = Watch(limits, Timings(), Confinement(limits, "a run"), freezer, reached.append)
    log = RunLog(tmp_path / "log", Timings())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        watch.begin(log)
        await trio.sleep(4.0)
        freezer.note_change(frozen=True)
        await trio.sleep(3600.0)
        freezer.note_change(frozen=False)
        assert reached == []
    log.close()

    (outcome,) = reached
    assert isinstance(outcome, TimedOut)
    assert outcome.limit is Limit.TIME
    assert outcome.seconds == pytest.approx(10.0)
    assert autojump_clock.current_time() - began_at == pytest.approx(3610.0)


async def test_what_is_collected_has_no_limit(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Once the stages are through, no limit is reached any more, however long the rest takes."""
    reached = list[Outcome]()
    began_at = autojump_clock.current_time()
    limits = RunLimits(time_seconds=10.0)
    watch = Watch(limits, Timings(), Confinement(limits, "a run"), Freezer(), reached.append)
    log = RunLog(tmp_path / "log", Timings())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.sleep(100.0)
        watch.begin(log)
        await trio.sleep(9.9)
        watch.end()
        await trio.sleep(100.0)
    log.close()

    assert reached == []
    assert autojump_clock.current_time() - began_at == pytest.approx(209.9)
