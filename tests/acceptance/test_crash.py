"""Killed at any moment: what was acknowledged is there, what runs is adopted, what vanished is called lost."""

import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from helpers.daemons import BIN, RunningDaemon, a_daemon, rows
from helpers.repositories import everything_of, git
from helpers.waiting import eventually

SUBMISSIONS = 40
ONCE = ("--retry-on", "none")
"""What is lost stays lost."""


def _run(daemon: RunningDaemon, repository: Path, name: str, script: str, *options: str) -> None:
    daemon.expctl(repository, "submit", "-n", name, *options, "--", "sh", "-c", script)


def _gate(repository: Path) -> Path:
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    return gate


def _workers(daemon: RunningDaemon) -> list[psutil.Process]:
    """Find the workers of these surroundings, whoever is their parent now."""
    found = []
    for process in psutil.process_iter():
        try:
            if "expd.execute" in process.cmdline() and str(daemon.socket) in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_run_survives_the_daemon_and_is_adopted(daemon: RunningDaemon, repository: Path) -> None:
    """Killed with a run under way, the next daemon finds it running, and collects it with its log unbroken."""
    gate = _gate(repository)
    _run(daemon, repository, "survivor", f"echo before; echo started > '{gate}'; cat '{gate}'; echo made > made.txt")
    gate.read_text()

    daemon.kill()
    daemon.restart()
    adopted = daemon.entries(repository, "survivor")[0]["state"]
    gate.write_text("after\n")
    result = daemon.run_expctl(repository, "follow", "survivor")

    assert adopted == "running"
    assert (result.stdout, result.returncode) == (b"before\nafter\n", 0)
    assert git(repository, "show", f"{daemon.entries(repository)[0]['experiment_rev']}:made.txt") == "made"


def test_a_run_that_ended_meanwhile_is_collected(daemon: RunningDaemon, repository: Path) -> None:
    """A run that ends while no daemon is there leaves its outcome on disk, and the next daemon files the result."""
    gate = _gate(repository)
    _run(daemon, repository, "ended", f"echo started > '{gate}'; cat '{gate}'")
    gate.read_text()
    daemon.kill()

    gate.write_text("go on\n")
    eventually(lambda: list((daemon.state / "runs").glob("*.outcome")), "the worker writes its outcome")
    daemon.restart()

    assert daemon.run_expctl(repository, "wait", "ended").returncode == 0
    assert rows(daemon.expctl_json(repository, "show"), "experiments")[0]["name"] == "ended"


def test_a_killed_worker_is_noticed_and_its_tree_ended(daemon: RunningDaemon, repository: Path) -> None:
    """When a worker is killed its run is lost with the reason, nothing of it runs on or stays as a zombie, and the queue goes on."""
    gate = _gate(repository)
    _run(daemon, repository, "victim", f"(setsid sleep 300 &); echo started > '{gate}'; sleep 300", *ONCE)
    _run(daemon, repository, "next", "true")
    gate.read_text()
    (worker,) = _workers(daemon)
    children = worker.children(recursive=True)
    worker.suspend()
    children[0].kill()  # it has ended, and nobody has collected it

    worker.kill()
    result = daemon.run_expctl(repository, "wait", "victim")
    gone, alive = psutil.wait_procs(children, timeout=10)

    assert result.returncode == 121
    assert (len(gone) >= 2, alive) == (True, [])
    assert daemon.run_expctl(repository, "wait", "next").returncode == 0


def test_a_run_killed_with_its_daemon_is_lost(daemon: RunningDaemon, repository: Path) -> None:
    """When daemon and worker die together, the next daemon calls the run lost, ends its tree, and goes on."""
    gate = _gate(repository)
    _run(daemon, repository, "victim", f"echo started > '{gate}'; sleep 300", *ONCE)
    gate.read_text()
    (worker,) = _workers(daemon)
    children = worker.children(recursive=True)

    daemon.kill()
    worker.kill()
    daemon.restart()

    assert daemon.entries(repository, "victim")[0]["outcome"] == "lost"
    assert psutil.wait_procs(children, timeout=10)[1] == []
    _run(daemon, repository, "next", "true")
    assert daemon.run_expctl(repository, "wait", "next").returncode == 0


def test_a_restart_of_the_machine_speaks_against_no_run(daemon: RunningDaemon, repository: Path) -> None:
    """What ran when it went down runs again, and says why; also the fourth time, where other losses hold an entry."""
    gate = _gate(repository)
    count = gate.with_suffix(".count")
    _run(
        daemon,
        repository,
        "victim",
        f"echo >> '{count}'; [ $(wc -l < '{count}') = 5 ] || {{ echo > '{gate}'; sleep 300; }}",
    )
    for _ in range(4):
        gate.read_text()
        (worker,) = _workers(daemon)
        daemon.kill()
        worker.kill()
        with closing(sqlite3.connect(daemon.state / "queue.db")) as store, store:
            store.execute("UPDATE runs SET boot_id = 'the one before' WHERE ended_at IS NULL")
        daemon.restart()

    assert daemon.run_expctl(repository, "wait", "victim").returncode == 0
    (entry,) = daemon.entries(repository, "victim")
    assert (entry["outcome"], entry["attempt"]) == ("succeeded", 5)
    assert "the machine was started again" in daemon.expctl(repository, "why", "victim", "--attempt", "4")


def test_what_was_acknowledged_is_never_lost(repository: Path) -> None:
    """Killed and started again at random moments while a client submits, the daemon has every acknowledged entry, once.

    The workspace and Git's files are untouched, no lock is left, and what was queued runs.
    """
    seed = int(os.environ.get("EXPD_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"seed {seed}")  # noqa: T201 - with it a failure can be repeated
    before = everything_of(repository)
    with a_daemon(jobs=2) as daemon:
        daemon.expctl(repository, "pause")
        with _killed_again_and_again(daemon, random.Random(seed)) as kills:
            acknowledged = [
                name for name in (f"try-{n}" for n in range(SUBMISSIONS)) if _submit(daemon, repository, name)
            ]

        names = [str(entry["name"]) for entry in daemon.entries(repository)]
        untouched = everything_of(repository)
        locks = [path for path in (repository / ".git").rglob("*.lock") if "expd/worktrees" not in str(path)]
        daemon.expctl(repository, "resume")
        daemon.run_expctl(repository, "wait")
        outcomes = {str(entry["outcome"]) for entry in daemon.entries(repository)}

    assert len(kills) >= 3
    assert set(acknowledged) <= set(names)
    assert len(names) == len(set(names))
    assert untouched == before
    assert (locks, outcomes) == ([], {"succeeded"})
    assert git(repository, "fsck", "--no-dangling") == ""


def _submit(daemon: RunningDaemon, repository: Path, name: str) -> bool:
    """Submit once; whether it was acknowledged."""
    return daemon.run_expctl(repository, "submit", "-n", name, "--", "true").returncode == 0


@contextmanager
def _killed_again_and_again(daemon: RunningDaemon, chance: random.Random) -> Iterator[list[float]]:
    """Kill the daemon at random moments and start the next one at once, in a thread, while inside."""
    kills: list[float] = []
    over = threading.Event()

    def kill() -> None:
        while not over.wait(chance.uniform(0.05, 0.4)):
            daemon.kill()
            daemon.restart()
            kills.append(time.monotonic())

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield kills
    finally:
        over.set()
        killer.join()


def test_a_second_daemon_is_refused(daemon: RunningDaemon) -> None:
    """A second daemon says that another one serves the socket, exits 75, and leaves the first alone."""
    second = subprocess.run([BIN / "expd"], env=daemon.environ, capture_output=True, check=False, timeout=60)

    assert second.returncode == 75
    assert b"another expd already serves" in second.stderr
    assert daemon.expctl_json(daemon.directory, "daemon", "status")["pid"] == daemon.process.pid


def test_a_second_daemon_with_the_same_state_is_refused(daemon: RunningDaemon) -> None:
    """Where only the runtime directory differs, as in a shell without XDG_RUNTIME_DIR, the queue still has one daemon."""
    elsewhere = {**daemon.environ, "EXPD_RUNTIME_DIR": str(daemon.directory / "other")}
    second = subprocess.run([BIN / "expd"], env=elsewhere, capture_output=True, check=False, timeout=60)

    assert second.returncode == 73
    assert f"another expd, which listens at {daemon.socket}, works with {daemon.state}" in second.stderr.decode()
    assert f"export EXPD_RUNTIME_DIR={daemon.socket.parent}" in second.stderr.decode()


def test_a_socket_left_behind_is_no_obstacle(daemon: RunningDaemon) -> None:
    """After a kill the socket file is still there, and the next daemon takes its place."""
    daemon.kill()
    assert daemon.socket.exists()

    daemon.restart()

    assert daemon.expctl_json(daemon.directory, "daemon", "status")["pid"] == daemon.process.pid


def test_a_terminated_daemon_leaves_what_runs(daemon: RunningDaemon, repository: Path) -> None:
    """SIGTERM, by which a service is restarted, ends the daemon at once with 0; what runs goes on, and the next adopts it."""
    gate = _gate(repository)
    _run(daemon, repository, "long", f"echo before; echo started > '{gate}'; cat '{gate}'")
    gate.read_text()

    daemon.process.send_signal(signal.SIGTERM)
    code, has_socket = daemon.process.wait(60), daemon.socket.exists()
    daemon.restart()
    adopted = daemon.entries(repository, "long")[0]["state"]
    gate.write_text("after\n")
    result = daemon.run_expctl(repository, "follow", "long")

    assert (code, has_socket, adopted) == (0, False, "running")
    assert (result.stdout, result.returncode) == (b"before\nafter\n", 0)


def test_a_second_interrupt_hurries_the_end(daemon: RunningDaemon, repository: Path) -> None:
    """Ctrl-C drains; a second one cancels what runs, and the daemon ends with 0 and no socket."""
    gate = _gate(repository)
    _run(daemon, repository, "long", f"echo started > '{gate}'; sleep 300")
    gate.read_text()

    daemon.process.send_signal(signal.SIGINT)
    eventually(lambda: "ending: drain" in daemon.journal(), "the daemon says that it drains")
    still_running = daemon.entries(repository, "long")[0]["state"]
    daemon.process.send_signal(signal.SIGINT)

    assert still_running == "running"
    assert daemon.process.wait(60) == 0
    assert not daemon.socket.exists()
    daemon.restart()
    assert daemon.entries(repository, "long")[0]["outcome"] == "cancelled"
