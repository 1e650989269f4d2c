"""Runs that are tried again by themselves, from the shell: same entry, another attempt, one result; or a hold with the reason."""

import os
from pathlib import Path

import psutil
import pytest

from helpers.daemons import Json, RunningDaemon
from helpers.repositories import git


@pytest.fixture
def gate(repository: Path) -> Path:
    """Give a pipe that a run and its test meet at."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    return gate


def _submit(daemon: RunningDaemon, repository: Path, name: str, script: str, *options: str) -> None:
    daemon.expctl(repository, "submit", "-n", name, *options, "--", "sh", "-c", script)


def _entry(daemon: RunningDaemon, repository: Path, name: str) -> Json:
    (entry,) = daemon.entries(repository, name)
    return entry


def _kill_worker(daemon: RunningDaemon) -> None:
    """Kill the one worker of a daemon, wherever its run is."""
    (worker,) = (
        process for process in psutil.Process(daemon.process.pid).children() if "expd.execute" in process.cmdline()
    )
    worker.kill()


def _experiments(repository: Path) -> list[str]:
    return git(repository, "for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps").split()


def test_a_run_whose_worker_is_killed_runs_again_by_itself(daemon: RunningDaemon, repository: Path, gate: Path) -> None:
    """Same entry, attempt 2, one result; whoever follows sees both logs, and is told of the loss."""
    _submit(daemon, repository, "victim", f"echo go > '{gate}'; cat '{gate}'; pwd > place.txt")
    with daemon.start_expctl(repository, "follow", "victim") as following:
        gate.read_text()
        _kill_worker(daemon)
        gate.read_text()
        again = _entry(daemon, repository, "victim")
        gate.write_text("second\n")
        output, words = following.communicate()
    done = _entry(daemon, repository, "victim")

    assert (again["id"], again["attempt"], again["state"], again["earlier_outcome"]) == (1, 2, "running", "lost")
    assert (done["attempt"], done["outcome"]) == (2, "succeeded")
    assert _experiments(repository) == ["victim"]
    assert (output, following.returncode) == (b"second\n", 0)
    assert b"attempt 1 lost: its worker ended with code -9; attempt 2 follows" in words


def test_a_run_that_dies_with_the_daemon_runs_again(daemon: RunningDaemon, repository: Path, gate: Path) -> None:
    """The next daemon calls the first attempt lost, ends what is left of it, and begins the second."""
    _submit(daemon, repository, "victim", f"echo go > '{gate}'; cat '{gate}'")
    gate.read_text()
    workers = psutil.Process(daemon.process.pid).children()
    left = [process for worker in workers for process in worker.children(recursive=True)]

    daemon.kill()
    for worker in workers:
        worker.kill()
    daemon.restart()
    gate.read_text()
    gone = psutil.wait_procs(left, timeout=10)[1] == []
    gate.write_text("go on\n")

    assert daemon.run_expctl(repository, "wait", "victim").returncode == 0
    assert (gone, _entry(daemon, repository, "victim")["attempt"]) == (True, 2)


def test_three_losses_in_a_row_hold_an_entry(daemon: RunningDaemon, repository: Path, gate: Path) -> None:
    """It is shown with the reason and runs no more, while the queue goes on; released, it has another chance."""
    _submit(daemon, repository, "killer", f"echo go > '{gate}'; cat '{gate}'")
    _submit(daemon, repository, "next", "true")
    for _loss in range(3):
        gate.read_text()
        _kill_worker(daemon)
    daemon.expctl(repository, "wait", "next")
    held = _entry(daemon, repository, "killer")
    why = daemon.expctl(repository, "why", "killer")
    daemon.expctl(repository, "release", "killer")
    gate.read_text()
    gate.write_text("go on\n")

    assert (held["state"], held["attempt"]) == ("held", 4)
    assert "lost 3 times in a row, the last time because its worker ended with code -9" in str(held["waits_for"])
    assert "expctl release 1" in why
    assert daemon.run_expctl(repository, "wait", "killer").returncode == 0


def test_an_exit_code_that_asks_for_it_is_tried_again(daemon: RunningDaemon, repository: Path) -> None:
    """`exit:75` twice and then success; each attempt has its log, and `why` tells of each."""
    count = repository.parent / "count"
    script = f"echo x >> '{count}'; n=$(wc -l < '{count}'); echo attempt $n; [ $n -ge 3 ] || exit 75"
    _submit(daemon, repository, "flaky", script, "--retries", "3", "--retry-on", "exit:75", "--backoff", "0")

    code = daemon.run_expctl(repository, "wait", "flaky").returncode
    done = _entry(daemon, repository, "flaky")
    logs = [daemon.run_expctl(repository, "follow", "flaky", "--raw", "--attempt", number).stdout for number in "123"]
    first = daemon.expctl_json(repository, "why", "flaky", "--attempt", "1")

    assert (code, done["attempt"], done["retries_left"], done["earlier_outcome"]) == (0, 3, 1, "failed")
    assert logs == [b"attempt 1\n", b"attempt 2\n", b"attempt 3\n"]
    assert (first["last_lines"], first["detail"]) == (
        ["attempt 1"],
        {"kind": "failed", "stage": "command", "exit_code": 75},
    )
    assert isinstance(first["attempts"], list)
    assert [attempt["outcome"] for attempt in first["attempts"]] == ["failed", "failed", "succeeded"]
    assert _experiments(repository) == ["flaky"]


def test_what_is_no_cause_is_not_tried_again(daemon: RunningDaemon, repository: Path) -> None:
    """Another exit code than the one named is the end, with all retries left."""
    _submit(daemon, repository, "wrong", "exit 74", "--retries", "3", "--retry-on", "exit:75")

    code = daemon.run_expctl(repository, "wait", "wrong").returncode

    assert code == 74
    assert (_entry(daemon, repository, "wrong")["attempt"], _entry(daemon, repository, "wrong")["retries_left"]) == (
        1,
        3,
    )


def test_the_wait_for_the_next_attempt_is_seen(daemon: RunningDaemon, repository: Path) -> None:
    """Until when it waits, after what, and that others run meanwhile; a restart forgets nothing of it."""
    _submit(daemon, repository, "later", "exit 1", "--retries", "1", "--backoff", "1h")
    _submit(daemon, repository, "next", "true")
    daemon.expctl(repository, "wait", "next")
    daemon.kill()
    daemon.restart()

    waiting = _entry(daemon, repository, "later")
    table = daemon.expctl(repository, "status", "later")
    why = daemon.expctl(repository, "why", "later")
    daemon.expctl(repository, "cancel", "later")

    assert (waiting["state"], waiting["attempt"], waiting["retries_left"]) == ("queued", 2, 0)
    assert (waiting["waits_for"], str(waiting["not_before"])[:2]) == ("its next attempt", "20")
    assert "its next attempt" in table
    assert "after failed: command exited with 1" in why
    assert "expctl why 1 --attempt 1" in why
    assert _entry(daemon, repository, "later")["outcome"] == "cancelled"


def test_a_run_that_is_watched_goes_on_being_watched(daemon: RunningDaemon, repository: Path) -> None:
    """`run --temp --retries` ends with the last attempt, and its exit code is that one's."""
    once = repository.parent / "once"
    script = f"echo hello; [ -e '{once}' ] || {{ touch '{once}'; exit 3; }}"

    result = daemon.run_expctl(
        repository, "run", "--temp", "--raw", "--retries", "1", "--backoff", "0", "--", "sh", "-c", script
    )

    assert (result.returncode, result.stdout) == (0, b"hello\nhello\n")
    assert b"failed: command exited with 3; attempt 2 follows" in result.stderr


def test_follow_of_what_waits_tells_each_attempt_as_an_event(daemon: RunningDaemon, repository: Path) -> None:
    """Programs hear of the end of an attempt, and then of offsets from 0."""
    _submit(daemon, repository, "twice", "echo hello; exit 3", "--hold", "--retries", "1", "--backoff", "0")
    with daemon.start_expctl(repository, "follow", "twice", "--json") as following:
        daemon.expctl(repository, "release", "twice")
        output, _words = following.communicate()

    events = [line for line in output.decode().splitlines() if '"mark"' not in line and '"progress"' not in line]
    assert ["attempt_ended" in line for line in events] == [False, True, False, False]
    assert all('"offset": 0' in line for line in (events[0], events[2]))
    assert '"attempt": 1' in events[1]
    assert following.returncode == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("submit", "--retries", "2", "--retry-on", "sometimes"), b"--retry-on sometimes: one of lost, oom"),
        (("submit", "--retries", "2", "--backoff", "2h"), b"--backoff is at most 3600 s"),
        (("submit", "--backoff", "1m"), b"--backoff goes with --retries"),
        (("run", "--retries", "1"), b"a run in the workspace is not run again by itself"),
    ],
)
def test_retries_that_make_no_sense_are_refused(
    daemon: RunningDaemon, repository: Path, options: tuple[str, ...], words: bytes
) -> None:
    """Before anything is queued, and with what would do instead."""
    result = daemon.run_expctl(repository, *options, "--", "true")

    assert (result.returncode, words in result.stderr) == (2, True)
    assert daemon.entries(repository) == []
