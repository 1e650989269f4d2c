"""Different versions side by side: a daemon of another protocol, made by raising its number in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from expd.linux.processes import identity_of
from helpers.daemons import DEADLINE_SECONDS, RunningDaemon, a_daemon
from helpers.repositories import git
from helpers.waiting import eventually

NEWER = """\
import sys
import expproto

expproto.PROTOCOL_VERSION += 1
expproto.VERSION = "99.0"
from {module} import {main}

sys.exit({main}(sys.argv[1:]))
"""


def _newer(directory: Path, module: str, main: str) -> list[str | Path]:
    program = directory / f"newer-{main}.py"
    program.write_text(NEWER.format(module=module, main=main))
    return [sys.executable, program]


def _newer_expctl(daemon: RunningDaemon, cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [*_newer(daemon.directory, "expctl.cli", "run"), *arguments]
    return subprocess.run(
        argv, cwd=cwd, env=daemon.environ, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )


def test_a_run_of_an_older_worker_ends_well_under_a_newer_daemon(repository: Path) -> None:
    """A worker that the new daemon can't talk to finishes its run and leaves; the daemon reads the outcome, and files the result."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    with a_daemon() as daemon:
        daemon.expctl(
            repository, "submit", "-n", "old", "--", "sh", "-c", f"echo started > '{gate}'; cat '{gate}' > made.txt"
        )
        gate.read_text()
        daemon.kill()
        daemon.process = daemon.start(*_newer(daemon.directory, "expd.__main__", "main"))
        gate.write_text("well\n")
        waited = _newer_expctl(daemon, repository, "wait", "old")
        told = daemon.journal().count("version_mismatch")
        rev = git(repository, "for-each-ref", "--format=%(objectname)", "refs/exps")
        _newer_expctl(daemon, repository, "daemon", "stop", "--now")
        daemon.process.wait(DEADLINE_SECONDS)

    assert waited.returncode == 0, waited.stderr
    assert git(repository, "show", f"{rev}:made.txt") == "well"
    assert told < 5  # it is not asked again and again


def test_a_run_of_an_older_worker_is_cancelled_by_a_newer_daemon(repository: Path) -> None:
    """What can't be told to end it is killed, with all that its run has started, also out of its session."""
    pids = repository.parent / "pids"
    script = f"setsid sh -c 'echo $$ >> {pids}; exec sleep 1000' & echo $$ >> '{pids}'; sleep 1000"
    with a_daemon() as daemon:
        daemon.expctl(repository, "submit", "-n", "old", "--", "sh", "-c", script)
        eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2, "both processes run")
        daemon.kill()
        daemon.process = daemon.start(*_newer(daemon.directory, "expd.__main__", "main"))
        cancelled = _newer_expctl(daemon, repository, "cancel", "old")
        waited = _newer_expctl(daemon, repository, "wait", "old")
        _newer_expctl(daemon, repository, "daemon", "stop", "--now")
        daemon.process.wait(DEADLINE_SECONDS)

    assert cancelled.returncode == 0, cancelled.stderr
    assert waited.returncode == 125, waited.stderr
    assert [identity_of(int(pid)) for pid in pids.read_text().split()] == [None, None]  # a zombie is nobody's concern


def test_a_daemon_of_another_version_is_replaced_on_request_and_its_run_goes_on(repository: Path) -> None:
    """Refused by a daemon of another protocol, the client names `expctl daemon restart`, which ends that and starts its own."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    with a_daemon() as daemon:
        daemon.expctl(repository, "submit", "-n", "kept", "--", "sh", "-c", f"echo started > '{gate}'; cat '{gate}'")
        gate.read_text()
        daemon.kill()
        daemon.process = daemon.start(*_newer(daemon.directory, "expd.__main__", "main"))
        refused = daemon.run_expctl(repository, "status")
        daemon.environ["EXPD_AUTOSTART"] = "1"
        restarted = daemon.expctl_json(repository, "daemon", "restart")
        daemon.process.wait(DEADLINE_SECONDS)
        gate.write_text("on\n")
        waited = daemon.run_expctl(repository, "wait", "kept")
        daemon.run_expctl(repository, "daemon", "stop", "--now")

    assert (refused.returncode, b"expctl daemon restart" in refused.stderr) == (7, True)
    assert (restarted["started"], restarted["protocol"]) == (True, 1)
    assert waited.returncode == 0
