"""A run that is frozen, in a real worker without control groups: its processes are stopped, and it waits for its thaw."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from daemon.scripted import ScriptedDaemon, a_scripted_daemon, an_order, told_of
from expproto.vocabulary import Cancelled, RunId, Succeeded
from expproto.work import CancelRun, FreezeRun, StageStarted, ThawRun
from helpers.waiting import eventually

LOOPS = "echo begun; (while :; do :; done) & while [ ! -e '{gate}' ]; do :; done; kill $!; echo made > made.txt"
"""Two processes that are never idle."""


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[ScriptedDaemon]:
    """Give a daemon that the test plays."""
    with a_scripted_daemon(tmp_path) as daemon:
        yield daemon


def _states(scripted: ScriptedDaemon) -> list[str]:
    """Give what the processes of the run do."""
    states = list[str]()
    for process in psutil.Process(scripted.worker.pid).children(recursive=True):
        try:
            states.append(process.status())
        except psutil.NoSuchProcess:
            continue
    return states


def _are_stopped(scripted: ScriptedDaemon) -> bool:
    return _states(scripted) == [psutil.STATUS_STOPPED] * 2


def test_a_frozen_run_stands_still_and_goes_on(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """All its processes are stopped, also for the next daemon, which is told so; thawed by that, it ends well."""
    gate = tmp_path / "gate"
    order = an_order(tmp_path, repository, ("sh", "-c", LOOPS.format(gate=gate)))
    conversation, _register = scripted.meet()
    conversation.order(order)
    conversation.hear(StageStarted)
    eventually(lambda: len(_states(scripted)) == 2, "both run")
    conversation.order(FreezeRun(run=order.run))
    eventually(lambda: _are_stopped(scripted), "both are stopped")
    gate.touch()
    scripted.vanish(conversation)
    scripted.listen()
    conversation, register = scripted.meet()
    still = _are_stopped(scripted)
    conversation.order(ThawRun(run=RunId(order.run + 1)))
    conversation.order(ThawRun(run=order.run))

    assert isinstance(conversation.hear_end().outcome, Succeeded)
    assert (register.run, register.frozen, still) == (order.run, True, True)
    assert "expd: frozen" in told_of(order)
    assert "expd: goes on" in told_of(order)


def test_nothing_is_started_while_a_run_is_frozen(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """Frozen before its first command, a run prepares and starts none until it is thawed."""
    order = an_order(tmp_path, repository, ("true",))
    conversation, _register = scripted.meet()
    conversation.order(order)
    conversation.order(FreezeRun(run=order.run))
    conversation.hear(StageStarted)
    eventually(lambda: "expd: frozen" in told_of(order), "it is frozen")
    before = (Path(order.record).exists(), _states(scripted))
    conversation.order(ThawRun(run=order.run))

    assert isinstance(conversation.hear_end().outcome, Succeeded)
    assert before == (False, [])


def test_a_frozen_run_is_cancelled(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """It goes on for its end, hears the signals of any cancel, and leaves nothing behind."""
    script = "trap 'echo heard; exit 1' INT; echo begun; while :; do :; done"
    order = an_order(tmp_path, repository, ("sh", "-c", script), grace_seconds=30.0)
    conversation, _register = scripted.meet()
    conversation.order(order)
    eventually(lambda: Path(order.log).exists() and "begun" in Path(order.log).read_text(), "it has begun")
    conversation.order(FreezeRun(run=order.run))
    eventually(lambda: _states(scripted) == [psutil.STATUS_STOPPED], "it is stopped")
    conversation.order(CancelRun(run=order.run, reason="enough"))

    assert isinstance(conversation.hear_end().outcome, Cancelled)
    assert Path(order.log).read_text().split() == ["begun", "heard"]
    assert _states(scripted) == []
