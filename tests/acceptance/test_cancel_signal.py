"""`expctl cancel --signal`: the run gets the signal that was asked for, and none that it could not expect."""

import os
from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon

SCRIPT = """\
import signal, sys
def heard(number, frame):
    print("heard", signal.Signals(number).name, flush=True)
    sys.exit(0)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, heard)
open(sys.argv[1], "w").write("started")
signal.pause()
"""


@pytest.mark.parametrize(("name", "log"), [("USR1", "heard SIGUSR1\n"), ("SIGKILL", "")])
def test_the_run_gets_the_signal_that_was_asked_for(
    daemon: RunningDaemon, repository: Path, name: str, log: str
) -> None:
    """Instead of SIGINT and SIGTERM; SIGKILL lets nobody say a word."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    daemon.expctl(repository, "submit", "-n", "x", "--", "python", "-c", SCRIPT, str(gate))
    gate.read_text()

    daemon.expctl(repository, "cancel", "x", "--signal", name)
    code = daemon.run_expctl(repository, "wait", "x").returncode

    assert (code, daemon.run_expctl(repository, "follow", "--raw", "x").stdout.decode()) == (125, log)


def test_a_signal_that_is_none_is_refused(daemon: RunningDaemon, repository: Path) -> None:
    """By the client, before anything is asked."""
    assert daemon.run_expctl(repository, "cancel", "1", "--signal", "NONE").returncode == 2
