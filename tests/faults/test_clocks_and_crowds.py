"""Clocks that jump, processes that stand still, pids that come back, and more peers at once than anybody waits for."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from helpers.daemons import BIN, DEADLINE_SECONDS, RunningDaemon, Surroundings, a_daemon
from helpers.repositories import git

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
DAEMONS, MANY_DAEMONS = 4, 100
STILL_SECONDS = 2
needs_faketime = pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime (Debian's package faketime)")
needs_pid_namespace = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="a pid namespace of one's own needs root and unshare"
)
REUSE = """\
import os, subprocess, time
from expd.linux.processes import identity_of
first = subprocess.Popen(["sleep", "60"])
known = identity_of(first.pid)
first.kill(); first.wait()
time.sleep(0.05)  # a start is known by the kernel's tick of ten milliseconds
open("/proc/sys/kernel/ns_last_pid", "w").write(str(first.pid - 1))
second = subprocess.Popen(["sleep", "60"])
assert second.pid == first.pid, (first.pid, second.pid)
print(known is not None and not known.is_alive() and second.poll() is None)
second.kill()
"""
"""In a pid namespace whose next pid is chosen: the same number, another process."""


@needs_faketime
def test_a_wall_clock_that_jumps_disturbs_nobody(repository: Path) -> None:
    """While the wall clock jumps by days to and fro, entries run in their order, and what times a run has its own clock."""
    with a_daemon() as daemon:
        daemon.kill()
        jumps = daemon.directory / "jumps"
        jumps.write_text("+0d")
        daemon.environ |= {
            "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(jumps), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
        daemon.restart()
        for name in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC"):
            del daemon.environ[name]
        daemon.expctl(repository, "pause")
        for number, jump in enumerate(("+5d", "-5d")):
            jumps.write_text(jump)
            daemon.expctl(repository, "submit", "-n", f"n{number}", "--time-limit", "30s", "--", "sleep", "0.2")
        jumps.write_text("+5d")
        daemon.expctl(repository, "resume")
        jumps.write_text("-5d")
        daemon.expctl(repository, "wait", "--timeout", str(DEADLINE_SECONDS - 10))
        entries = daemon.entries(repository)

    assert [entry["outcome"] for entry in entries] == ["succeeded"] * 2
    assert [entry["name"] for entry in entries] == ["n0", "n1"]


def test_a_daemon_that_was_stopped_for_a_while_goes_on(daemon: RunningDaemon, repository: Path) -> None:
    """A daemon that stands still, as on a machine that sleeps, answers who asked meanwhile, and lost no end of a run."""
    daemon.expctl(repository, "submit", "-n", "before", "--", "sh", "-c", "sleep 0.5; echo done")
    daemon.process.send_signal(signal.SIGSTOP)
    asking = daemon.start_expctl(repository, "wait", "before")
    threading.Event().wait(STILL_SECONDS)  # the run ends meanwhile, or has not even begun
    daemon.process.send_signal(signal.SIGCONT)

    assert asking.wait(DEADLINE_SECONDS) == 0
    asking.communicate()


@needs_pid_namespace
def test_a_pid_that_comes_back_is_somebody_else() -> None:
    """Where a new process has the pid of one that was known, it is not taken for it."""
    result = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", REUSE],
        capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False, env=os.environ | _where_we_are(),
    )  # fmt: skip

    assert result.stdout == "True\n", result.stderr


def _where_we_are() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_more_connections_than_the_backlog_are_served(daemon: RunningDaemon, repository: Path) -> None:
    """With a daemon that accepts nobody its backlog fills up; when it goes on everybody is answered, and nobody was sent away."""
    daemon.process.send_signal(signal.SIGSTOP)
    peers: list[socket.socket] = []
    is_full = False
    while not is_full and len(peers) < 10_000:
        peer = socket.socket(socket.AF_UNIX)
        peer.setblocking(False)
        peers.append(peer)
        try:
            peer.connect(str(daemon.socket))
        except BlockingIOError:
            is_full = True
    asking = daemon.start_expctl(repository, "status")
    daemon.process.send_signal(signal.SIGCONT)
    for peer in peers:
        peer.close()

    assert is_full
    assert asking.wait(DEADLINE_SECONDS) == 0, asking.communicate()
    asking.communicate()


def _start_at_once(count: int) -> None:
    surroundings = Surroundings()
    (surroundings.directory / "config.toml").write_text("jobs = 1\n")
    started = [
        subprocess.Popen([BIN / "expd"], env=surroundings.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _daemon in range(count)
    ]
    try:
        ended = set[int]()
        while len(ended) < count - 1:
            pid, status = os.waitpid(-1, 0)
            ours = {daemon.pid: daemon for daemon in started}
            if pid in ours:
                ours[pid].returncode = os.waitstatus_to_exitcode(status)
                ended.add(pid)
        codes = [daemon.returncode for daemon in started if daemon.pid in ended]
        serving = surroundings.expctl_json(surroundings.directory, "daemon", "status")["pid"]
        (last,) = (daemon.pid for daemon in started if daemon.pid not in ended)
    finally:
        surroundings.run_expctl(surroundings.directory, "daemon", "stop", "--now")
        for daemon in started:
            daemon.communicate(timeout=DEADLINE_SECONDS)
        surroundings.remove()
    assert (codes, serving) == ([75] * (count - 1), last)


def test_of_daemons_that_start_at_once_one_serves() -> None:
    """Started in the same moment, one serves; each of the others says so and ends with 75."""
    _start_at_once(DAEMONS)


@pytest.mark.faults
def test_of_a_hundred_daemons_that_start_at_once_one_serves() -> None:
    """So it is with a hundred of them."""
    _start_at_once(MANY_DAEMONS)


def test_a_machine_that_started_anew_has_lost_what_ran(repository: Path) -> None:
    """A run of another boot is lost, whoever has its pid now is left alone, and it runs again by itself."""
    with a_daemon() as daemon:
        gate = repository.parent / "gate"
        os.mkfifo(gate)
        daemon.expctl(repository, "submit", "-n", "victim", "--", "sh", "-c", f"echo $$ > '{gate}'; cat '{gate}'")
        shell = int(gate.read_text())
        daemon.kill()
        worker = _parent_of(shell)
        _pretend_another_boot(daemon.state / "queue.db", pid=os.getpid())
        os.kill(worker, signal.SIGKILL)
        os.kill(shell, signal.SIGKILL)
        daemon.restart()
        gate.read_text()
        gate.write_text("go on\n")
        daemon.expctl(repository, "wait", "victim", "--timeout", str(DEADLINE_SECONDS // 2))
        (entry,) = daemon.entries(repository, "victim")

    assert (entry["outcome"], entry["attempt"]) == ("succeeded", 2)
    assert git(repository, "fsck", "--no-dangling") == ""


def _parent_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[1])


def _pretend_another_boot(store: Path, pid: int) -> None:
    """Write into the store that the run under way is of another boot, with a pid that somebody has now."""
    connection = sqlite3.connect(store)
    connection.execute("UPDATE runs SET boot_id = 'another', pid = ? WHERE ended_at IS NULL", (pid,))
    connection.commit()
    connection.close()
