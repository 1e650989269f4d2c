"""Single flight: of equal stages in several runs one is computed, and its work passes on however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from daemon.scripted import Conversation, ScriptedDaemon, a_scripted_daemon, an_order, told_of
from expd.execute.flights import Flights
from expd.execute.marks import marks_of
from expproto.limits import NO_LIMITS, RunLimits
from expproto.vocabulary import Cancelled, Failed, Limit, RunId, Succeeded, TimedOut
from expproto.work import CancelRun, Execute, StageStarted
from helpers.repositories import a_repository
from helpers.waiting import eventually

PIPELINE = """\
stages:
  prepare:
    cmd: echo prepared >> "$TRACE"; read word < "$GATE"; test "$word" = good && echo data > data
    deps: [raw.txt]
    outs: [data]
"""


class Runs:
    """Two workers at one repository, and the stages they run, which end when their gate is opened."""

    def __init__(self, base: Path, first: ScriptedDaemon, second: ScriptedDaemon) -> None:
        self.base = base
        self.repository = a_repository(
            base / "project", {"dvc.yaml": PIPELINE, "raw.txt": "raw\n", ".gitignore": "/data\n"}
        )
        self.workers = (first, second)
        self.trace = base / "trace"

    def start(self, number: int, **changes: object) -> tuple[Conversation, Execute]:
        """Start a run in the worker of that number."""
        gate = self.base / f"gate-{number}"
        os.mkfifo(gate)
        variables = (
            *an_order(self.base, self.repository).environment,
            (b"TRACE", os.fsencode(self.trace)),
            (b"GATE", os.fsencode(gate)),
        )
        order = an_order(
            self.base,
            self.repository,
            None,
            run=RunId(number + 1),
            name=f"run-{number}",
            environment=variables,
            worktree=str(self.repository / ".git" / "expd" / "worktrees" / f"slot-{number}"),
            log=str(self.base / f"{number}.log"),
            record=str(self.base / f"{number}.outcome"),
            **changes,
        )
        conversation, _register = self.workers[number].meet()
        conversation.order(order)
        return conversation, order

    def open(self, number: int, word: str) -> None:
        """Let the stage of a run end, well or badly."""
        (self.base / f"gate-{number}").write_text(f"{word}\n")

    def computed(self) -> int:
        """Count how often the stage was computed."""
        return len(self.trace.read_text().splitlines())

    def start_both(self, limits: RunLimits = NO_LIMITS) -> tuple[Conversation, Conversation, Execute]:
        """Start a run that computes the stage, and one that waits for it, with these limits."""
        first, _order = self.start(0)
        first.hear(StageStarted)
        second, order = self.start(1, limits=limits)
        log = marks_of(Path(order.log))
        eventually(lambda: log.exists() and "waits for run-0 (entry 1)" in told_of(order), "the second run waits")
        return first, second, order


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Give two workers."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with a_scripted_daemon(tmp_path / "a") as first, a_scripted_daemon(tmp_path / "b") as second:
        yield Runs(tmp_path, first, second)


def test_waiting_run_takes_the_result(runs: Runs) -> None:
    """The stage is computed once; the run that waited has its outputs from the run cache, and says for whom it waited."""
    first, second, order = runs.start_both()

    runs.open(0, "good")

    assert isinstance(first.hear_end().outcome, Succeeded)
    assert isinstance(second.hear_end().outcome, Succeeded)
    assert runs.computed() == 1
    assert "Stage 'prepare' is cached (run cache)" in told_of(order)


def test_failure_passes_the_work_on(runs: Runs) -> None:
    """When the stage failed for one, the other computes it itself: the failure may have been the machine's."""
    first, second, _order = runs.start_both()

    runs.open(0, "bad")
    outcome = first.hear_end().outcome
    second.hear(StageStarted)
    runs.open(1, "good")

    assert outcome == Failed(stage="prepare", exit_code=1)
    assert isinstance(second.hear_end().outcome, Succeeded)
    assert runs.computed() == 2


def test_death_passes_the_work_on(runs: Runs) -> None:
    """When the worker that computes is killed, the kernel frees its flight, and the other computes."""
    _first, second, _order = runs.start_both()

    runs.workers[0].worker.kill()
    second.hear(StageStarted)
    runs.open(1, "good")

    assert isinstance(second.hear_end().outcome, Succeeded)


def test_cancel_of_a_waiting_run_is_immediate(runs: Runs) -> None:
    """Who waits is cancelled while the other goes on, and leaves nothing that keeps the next from its flight."""
    first, second, order = runs.start_both()

    second.order(CancelRun(run=order.run, reason="enough"))
    outcome = second.hear_end().outcome
    runs.open(0, "good")

    assert outcome == Cancelled(reason="enough")
    assert isinstance(first.hear_end().outcome, Succeeded)
    flights = runs.repository / ".git" / "expd" / "flights"
    eventually(lambda: not list(flights.iterdir()), "no flight is left")


def test_cancel_of_the_computing_run_passes_the_work_on(runs: Runs) -> None:
    """When the one that computes is cancelled, the other starts at once."""
    first, second, _order = runs.start_both()

    first.order(CancelRun(run=RunId(1), reason="enough"))
    assert first.hear_end().outcome == Cancelled(reason="enough")
    second.hear(StageStarted)
    runs.open(1, "good")

    assert isinstance(second.hear_end().outcome, Succeeded)


def test_waiting_for_another_is_no_stall(runs: Runs) -> None:
    """Who waits for another run writes nothing and uses no processor, and yet has not stalled, however long it takes."""
    first, second, _order = runs.start_both(RunLimits(stall_seconds=0.2))
    since = time.monotonic()

    eventually(lambda: time.monotonic() > since + 1.0, "five times the limit has passed")
    runs.open(0, "good")

    assert isinstance(first.hear_end().outcome, Succeeded)
    assert isinstance(second.hear_end().outcome, Succeeded)


def test_waiting_for_another_takes_time(runs: Runs) -> None:
    """The time limit is for the whole run, whatever it waits for; the run that computes goes on."""
    first, second, _order = runs.start_both(RunLimits(time_seconds=1.5))

    outcome = second.hear_end().outcome
    runs.open(0, "good")

    assert isinstance(outcome, TimedOut)
    assert outcome.limit is Limit.TIME
    assert isinstance(first.hear_end().outcome, Succeeded)


def test_forced_stage_waits_for_nobody(runs: Runs) -> None:
    """With --force a stage runs whatever others do."""
    first, _order = runs.start(0)
    first.hear(StageStarted)
    second, _order = runs.start(1, force=True)
    second.hear(StageStarted)

    runs.open(0, "good")
    runs.open(1, "good")

    assert isinstance(first.hear_end().outcome, Succeeded)
    assert isinstance(second.hear_end().outcome, Succeeded)
    assert runs.computed() == 2


def test_flight_is_held_by_one(tmp_path: Path) -> None:
    """Two try, one has it; after it landed the next has it, and no file stays behind."""
    ours, theirs = Flights(tmp_path, "ours"), Flights(tmp_path, "theirs")
    flight = ours.try_start("key")
    assert flight is not None

    with flight.held():
        assert theirs.try_start("key") is None
        assert theirs.try_start("other") is not None
    later = theirs.try_start("key")

    assert later is not None
    with later.held():
        assert (tmp_path / "key").read_text() == "theirs"
    assert not (tmp_path / "key").exists()


async def test_abandoned_wait_gives_the_lock_back(tmp_path: Path) -> None:
    """A wait that was cancelled gets its lock some day, and keeps nobody from it."""
    ours, theirs = Flights(tmp_path, "ours"), Flights(tmp_path, "theirs")
    flight = ours.try_start("key")
    assert flight is not None
    told = list[str]()

    with flight.held():
        with trio.move_on_after(0.05) as waiting:
            await theirs.wait_until_free("key", told.append)
        assert waiting.cancelled_caught
    await theirs.wait_until_free("key", told.append)

    again = theirs.try_start("key")
    assert again is not None
    assert told == ["ours", ""]


def test_file_system_without_locks_lets_everybody_compute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses locks there is no single flight, and no failure either."""

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)

    assert Flights(tmp_path, "ours").try_start("key") is not None
    assert Flights(tmp_path, "theirs").try_start("key") is not None
