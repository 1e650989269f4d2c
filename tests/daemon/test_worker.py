"""A worker: its outcome is on disk before it is told, it outlives its daemon, and no order makes it lose its run."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.scripted import WORKER_TOKEN, Conversation, ScriptedDaemon, a_scripted_daemon, an_order, record_of, told_of
from expproto.frames import encode_frame
from expproto.vocabulary import Cancelled, EntryId, RunId, Succeeded
from expproto.work import Acknowledge, CancelRun, Collecting, Execute, Leave, Progress, Register, RunEnded, StageStarted
from helpers.daemons import DEADLINE_SECONDS
from helpers.repositories import git
from helpers.waiting import eventually


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[ScriptedDaemon]:
    """Give a daemon that the test plays."""
    with a_scripted_daemon(tmp_path) as daemon:
        yield daemon


def gated(tmp_path: Path, repository: Path) -> tuple[Execute, Path]:
    """Give an order whose command waits for its gate."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script = f"echo started; echo > '{gate}'; cat '{gate}'; echo made > made.txt"
    return an_order(tmp_path, repository, ("sh", "-c", script)), gate


def start(conversation: Conversation, order: Execute, gate: Path) -> None:
    """Order a run, and wait until its command runs."""
    conversation.order(order)
    assert conversation.hear(StageStarted).run == order.run
    gate.read_text()


def test_a_worker_says_who_it_is(scripted: ScriptedDaemon) -> None:
    """It registers with its token, its pid and start time, and no run."""
    _conversation, register = scripted.meet()

    assert (register.token, register.pid) == (WORKER_TOKEN, scripted.worker.pid)
    assert (register.run, register.run_token, register.ended) == (None, None, ())
    assert register.start_ticks == int(Path(f"/proc/{register.pid}/stat").read_text().rsplit(")", 1)[1].split()[19])


def test_a_run_is_told_step_by_step(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """A run reports its stage, that it collects, and its end, each under its token, and the result is a commit."""
    order = an_order(tmp_path, repository)
    conversation, _register = scripted.meet()
    conversation.order(order)

    reports = list[object]()
    while not isinstance(report := conversation.hear_any(), RunEnded):
        assert report is not None
        reports.append(report)
    ended = report

    assert [report for report in reports if not isinstance(report, Progress)] == [
        StageStarted(run=order.run, run_token=order.run_token, stage="train"),
        Collecting(run=order.run, run_token=order.run_token),
    ]
    assert isinstance(ended.outcome, Succeeded)
    assert git(repository, "show", f"{ended.outcome.rev}:metrics.json") == '{"acc": 0.1}'


def test_the_outcome_is_on_disk_before_it_is_told(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """When RunEnded arrives, the record holds the very same words."""
    order = an_order(tmp_path, repository, ("true",))
    conversation, _register = scripted.meet()
    conversation.order(order)

    ended = conversation.hear_end()

    assert record_of(order) == ended


def test_an_outcome_that_cannot_be_written_is_told(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """Where the record can't be written the worker lives, and the daemon hears the outcome all the same."""
    order = an_order(tmp_path, repository, ("true",), record=str(tmp_path / "nonexistent" / "record"))

    assert isinstance(scripted.run(order), Succeeded)


def test_an_idle_worker_leaves_with_its_daemon(scripted: ScriptedDaemon) -> None:
    """With no run, and nothing that was not heard, a closed connection is the end, with 0."""
    conversation, _register = scripted.meet()

    scripted.vanish(conversation)

    assert scripted.worker.wait(DEADLINE_SECONDS) == 0


def test_a_worker_that_is_told_to_leave_does(scripted: ScriptedDaemon) -> None:
    """Leave ends an idle worker."""
    conversation, _register = scripted.meet()

    conversation.order(Leave())

    assert scripted.worker.wait(DEADLINE_SECONDS) == 0


@pytest.mark.parametrize("with_directory", [False, True], ids=["socket", "runtime directory"])
def test_a_run_outlives_its_daemon(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path, with_directory: bool
) -> None:
    """When the daemon is gone, and perhaps its directory, the run goes on; the next daemon hears of it, and its end."""
    order, gate = gated(tmp_path, repository)
    conversation, _register = scripted.meet()
    start(conversation, order, gate)

    scripted.vanish(conversation, with_directory=with_directory)
    scripted.listen()
    conversation, register = scripted.meet()
    reported = conversation.hear(StageStarted)
    gate.write_text("go on\n")
    ended = conversation.hear_end()

    assert (register.token, register.run, register.run_token) == (WORKER_TOKEN, order.run, order.run_token)
    assert reported.run == order.run
    assert isinstance(ended.outcome, Succeeded)
    assert Path(order.log).read_text() == "started\ngo on\n"


def test_an_end_nobody_heard_is_told_to_the_next_daemon(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path
) -> None:
    """A run that ends while no daemon is there is on disk, reported to the next one, and forgotten when acknowledged."""
    order, gate = gated(tmp_path, repository)
    conversation, _register = scripted.meet()
    start(conversation, order, gate)
    scripted.vanish(conversation)

    gate.write_text("go on\n")
    eventually(Path(order.record).exists, "the outcome is written")
    scripted.listen()
    conversation, register = scripted.meet()
    ended = conversation.hear_end()
    conversation.order(Acknowledge(run=order.run))
    conversation.order(Leave())

    assert order.run in {register.run, *register.ended}  # the record is there a moment before the run is over
    assert ended == record_of(order)
    assert scripted.worker.wait(DEADLINE_SECONDS) == 0


def test_an_end_that_is_not_acknowledged_is_told_again(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path
) -> None:
    """A daemon that dies between hearing an end and saying so leaves the worker waiting for the next one."""
    order = an_order(tmp_path, repository, ("true",))
    conversation, _register = scripted.meet()
    conversation.order(order)
    first = conversation.hear_end()

    scripted.vanish(conversation)
    scripted.listen()
    conversation, _register = scripted.meet()

    assert conversation.hear_end() == first


def test_a_daemon_of_another_version_costs_no_run(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """Turned away by a daemon that speaks otherwise, the worker goes on with its run and asks again."""
    order, gate = gated(tmp_path, repository)
    conversation, _register = scripted.meet()
    start(conversation, order, gate)
    conversation.close()

    scripted.turn_away()
    conversation, register = scripted.meet()
    gate.write_text("go on\n")

    assert register.run == order.run
    assert isinstance(conversation.hear_end().outcome, Succeeded)


def test_orders_that_make_no_sense_do_no_harm(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """A second run, the end of another run, an acknowledgement of nothing, a dismissal: the run goes on to its end."""
    order, gate = gated(tmp_path, repository)
    conversation, _register = scripted.meet()
    start(conversation, order, gate)

    conversation.order(an_order(tmp_path, repository, ("true",), run=RunId(2), entry=EntryId(2)))
    conversation.order(CancelRun(run=RunId(99), reason="not this one"))
    conversation.order(Acknowledge(run=RunId(99)))
    conversation.order(Acknowledge(run=order.run))
    conversation.order(Leave())
    gate.write_text("go on\n")
    ended = conversation.hear_end()

    assert ended.run == order.run
    assert isinstance(ended.outcome, Succeeded)


@pytest.mark.parametrize(
    "noise",
    [b"\xff\xff\xff\xff", encode_frame(b"noise"), encode_frame(b"\x81\xa4kind\xa7explode"), b"\0\0"],
    ids=["a huge length", "no message", "an unknown kind", "half a header"],
)
def test_noise_from_the_daemon_costs_no_run(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path, noise: bytes
) -> None:
    """A daemon that sends nonsense loses the conversation; the worker connects again with its run."""
    order, gate = gated(tmp_path, repository)
    conversation, _register = scripted.meet()
    start(conversation, order, gate)

    conversation.socket.sendall(noise)
    conversation.close()
    conversation, register = scripted.meet()
    gate.write_text("go on\n")

    assert register.run == order.run
    assert isinstance(conversation.hear_end().outcome, Succeeded)


def test_a_cancelled_run_says_for_what_reason(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """CancelRun ends the run with its reason and time, in the outcome and in the log, and nothing of it is committed."""
    order, gate = gated(tmp_path, repository)
    conversation, _register = scripted.meet()
    start(conversation, order, gate)

    conversation.order(CancelRun(run=order.run, reason="enough", at=5.0))
    ended = conversation.hear_end()

    assert ended.outcome == Cancelled(reason="enough", at=5.0)
    assert "expd: enough" in told_of(order)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_for_the_terminal_is_passed_over(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path, number: signal.Signals
) -> None:
    """Ctrl-C and a closed terminal are the daemon's affair: the worker and its run go on."""
    order, gate = gated(tmp_path, repository)
    conversation, _register = scripted.meet()
    start(conversation, order, gate)

    scripted.worker.send_signal(number)
    gate.write_text("go on\n")

    assert isinstance(conversation.hear_end().outcome, Succeeded)


def test_a_worker_is_used_again(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """One run after the other goes through the same process and worktree, and none finds anything of the one before."""
    conversation, _register = scripted.meet()
    outcomes = []
    for number in (1, 2, 3):
        script = f"test ! -e made.txt && echo {number} > made.txt"
        order = an_order(tmp_path, repository, ("sh", "-c", script), run=RunId(number))
        conversation.order(order)
        outcomes.append(conversation.hear_end().outcome)
        conversation.order(Acknowledge(run=order.run))

    made = [
        git(repository, "show", f"{outcome.rev}:made.txt") for outcome in outcomes if isinstance(outcome, Succeeded)
    ]
    assert made == ["1", "2", "3"]


def test_registering_is_all_a_worker_says_unasked(scripted: ScriptedDaemon) -> None:
    """Dismissed, it closes without another word."""
    conversation, register = scripted.meet()
    conversation.order(Leave())

    assert isinstance(register, Register)
    assert conversation.hear_any() is None
