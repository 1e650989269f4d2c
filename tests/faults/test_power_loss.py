"""Power is cut while the daemon works: what was acknowledged is on the disk, whole, and everything comes to its end.

The disk is a real ext4 or xfs in a file, told to shut down without writing its log (the ioctl that xfs_io's `shutdown` uses);
then every process is killed, it is mounted again as after a start of the machine, and a daemon starts.
"""

import contextlib
import random
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from expd.linux.processes import signal_all
from helpers.daemons import BIN, DEADLINE_SECONDS, RunningDaemon, a_daemon
from helpers.disks import PluggedDisk, a_plugged_disk, needs_loop
from helpers.guards import Guards
from helpers.invariants import check_all
from helpers.repositories import a_repository
from helpers.seeds import a_seed
from helpers.waiting import eventually

pytestmark = needs_loop

CUTS, MANY_CUTS = 2, 40
BEFORE_CUT_SECONDS_MAX = 3.0
KINDS = [
    "ext4",
    pytest.param("xfs", marks=pytest.mark.skipif(shutil.which("mkfs.xfs") is None, reason="needs mkfs.xfs (xfsprogs)")),
]


class Clients:
    """Submits one entry after the other until told to stop, and remembers which were acknowledged."""

    def __init__(self, daemon: RunningDaemon, project: Path, guards: Guards) -> None:
        self.acknowledged: set[str] = set()
        self._daemon = daemon
        self._project = project
        self._guards = guards
        self._number = 0
        self._over = threading.Event()

    def work(self) -> None:
        """Submit."""
        self._over.clear()
        while not self._over.is_set():
            self._number += 1
            name = f"n{self._number}"
            script = self._guards.script(name, f"echo {name} > made.txt; sleep 0.05")
            with subprocess.Popen(
                [BIN / "expctl", "submit", "-n", name, "--", "sh", "-c", script], cwd=self._project, env=self._daemon.environ,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            ) as client:  # fmt: skip
                if client.wait(DEADLINE_SECONDS) == 0:
                    self.acknowledged.add(name)

    def stop(self) -> None:
        """Submit nothing more."""
        self._over.set()


def _kill_everything(daemon: RunningDaemon) -> None:
    """End daemon, workers and commands, as the end of the machine does."""
    daemon.kill()
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "expd.execute" in command and str(daemon.socket) in command:
            with contextlib.suppress(psutil.NoSuchProcess):  # it met errors before, and has ended
                below = process.children(recursive=True)
                process.kill()
                signal_all(below, signal.SIGKILL)


def _cut_again_and_again(directory: Path, kind: str, cuts: int) -> None:
    chance = random.Random(a_seed())
    with a_plugged_disk(directory / "disk", kind) as disk, a_daemon(jobs=2, state=disk.path / "state") as daemon:
        project = a_repository(disk.path / "project")
        subprocess.run(["sync", "-f", disk.path], check=True)
        guards = Guards(directory / "guards")
        clients = Clients(daemon, project, guards)
        for _cut in range(cuts):
            _lose_power_once(disk, daemon, clients, chance.uniform(0, BEFORE_CUT_SECONDS_MAX))
            daemon.restart()
            check_all(daemon, project, clients.acknowledged)
            guards.check()
        daemon.run_expctl(project, "wait", "--timeout", str(DEADLINE_SECONDS // 2))
        outcomes = {str(entry["outcome"]) for entry in daemon.entries(project)}
        check_all(daemon, project, clients.acknowledged)
    print(f"{cuts} cuts of {kind}: {len(clients.acknowledged)} submissions were acknowledged")  # noqa: T201 - how much was tried
    assert outcomes <= {"succeeded"}


def _lose_power_once(disk: PluggedDisk, daemon: RunningDaemon, clients: Clients, seconds: float) -> None:
    before = len(clients.acknowledged)
    working = threading.Thread(target=clients.work)
    working.start()
    eventually(lambda: len(clients.acknowledged) > before, "something is acknowledged")
    threading.Event().wait(seconds)  # the moment is what is tried
    disk.cut()
    clients.stop()
    _kill_everything(daemon)
    working.join()
    eventually(lambda: _came_back(disk), "nobody has a file open")


def _came_back(disk: PluggedDisk) -> bool:
    try:
        disk.come_back()
    except subprocess.CalledProcessError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_power_cut_loses_nothing_acknowledged(tmp_path: Path, kind: str) -> None:
    """After a cut at a random moment every acknowledged entry is there, whole, its refs with it, and runs to its end."""
    _cut_again_and_again(tmp_path, kind, CUTS)


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
def test_many_power_cuts_lose_nothing_acknowledged(tmp_path: Path, kind: str) -> None:
    """So it is after many cuts of the same disk."""
    _cut_again_and_again(tmp_path, kind, MANY_CUTS)
