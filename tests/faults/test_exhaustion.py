"""No processes, descriptors, memory; a disk that fails or is slow: injected by limits of the kernel and by strace."""

import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from expproto.replies import DaemonShown
from expproto.requests import AskDaemon
from helpers.daemons import a_daemon
from helpers.killpoints import needs_strace
from helpers.peers import Talk
from helpers.repositories import a_repository, git
from helpers.waiting import eventually

ANSWER_SECONDS = 1.0
FORKS = "vfork,fork,clone"
"""Python falls back from the first to the others. strace counts the calls of each thread by themselves."""
needs_prlimit = pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed (util-linux)")


def _strace(calls: str, what: str) -> tuple[str, ...]:
    """Give the command that injects something into system calls of the daemon, and leaves all others at their speed."""
    return (
        "strace",
        "-qq",
        "-f",
        "--seccomp-bpf",
        "-o",
        "/dev/null",
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:{what}",
    )


def _limit(pid: int, limit: str) -> None:
    subprocess.run(["prlimit", "--pid", str(pid), limit], check=True)


@needs_strace
def test_a_worker_that_can_not_be_started_is_waited_for(tmp_path: Path) -> None:
    """While no process can be made the entry stays queued and says why, nothing spins; it runs once one can."""
    repository = a_repository(tmp_path / "project")
    with a_daemon(before=_strace(FORKS, "error=EAGAIN:when=1..2")) as daemon:
        daemon.expctl(repository, "submit", "-n", "one", "--", "true")

        eventually(lambda: daemon.expctl_json(repository, "status")["trouble"] is not None, "the pool says why")
        waiting = daemon.entries(repository)[0]
        daemon.expctl(repository, "wait", "one")

        assert waiting["state"] == "queued"
        assert "Resource temporarily unavailable" in str(waiting["waits_for"])
        assert daemon.journal().count("no worker comes up") == 2
        assert daemon.expctl_json(repository, "status")["trouble"] is None
        assert daemon.entries(repository)[0]["attempt"] == 1


@needs_strace
def test_a_command_that_can_not_be_started_now_is_started_later(tmp_path: Path) -> None:
    """A worker that may make no process waits, visibly, and then the command runs, once."""
    repository = a_repository(tmp_path / "project")
    begun = tmp_path / "begun"
    with a_daemon(before=_strace(FORKS, "error=EAGAIN:when=1")) as daemon:  # of each thread, also the worker's
        daemon.expctl(repository, "submit", "-n", "one", "--", "sh", "-c", f"echo x >> {begun}")

        daemon.expctl(repository, "wait", "one")

        assert begun.read_text() == "x\n"
        assert "can't go on" in daemon.journal()
        assert (daemon.entries(repository)[0]["outcome"], daemon.entries(repository)[0]["attempt"]) == ("succeeded", 1)


@needs_strace
def test_a_request_without_a_thread_is_refused(tmp_path: Path) -> None:
    """Where no thread can be made, a request says so, and the same one works when one can; the daemon lives."""
    repository = a_repository(tmp_path / "project")
    with a_daemon(before=_strace("clone3", "error=EAGAIN:when=4..9")) as daemon:
        arguments = ("submit", "--hold", "--", "true")
        clients = [daemon.start_expctl(repository, *arguments) for _client in range(12)]
        words = [client.communicate()[1].decode() for client in clients]

        refused = [said for client, said in zip(clients, words, strict=True) if client.returncode != 0]
        assert refused
        assert all("no thread can be started" in said for said in refused)
        assert len(daemon.entries(repository)) == 12 - len(refused)
        assert "met a bug" not in daemon.journal()
        daemon.expctl(repository, *arguments)


@needs_strace
@pytest.mark.parametrize(
    ("call", "error", "when"),
    [
        ("fdatasync", "EIO", "14..15"),
        ("pwrite64", "EIO", "200..201"),
        pytest.param("pwrite64", "EDQUOT", "200..201", marks=pytest.mark.faults),
    ],
)
def test_a_disk_that_fails_once_costs_one_request(tmp_path: Path, call: str, error: str, when: str) -> None:
    """What could not be put on the disk is refused and is not there; before and after it all is well, and the store is sound."""
    repository = a_repository(tmp_path / "project")
    inject = _strace(call, f"error={error}:when={when}")
    with a_daemon(before=inject) as daemon:
        answers = {
            f"n{number}": daemon.run_expctl(repository, "submit", "--hold", "-n", f"n{number}", "--", "true")
            for number in range(16)
        }
        accepted = {name for name, ran in answers.items() if ran.returncode == 0}

        assert {str(entry["name"]) for entry in daemon.entries(repository)} == accepted
        assert "n0" in accepted
        assert "n15" in accepted
        assert len(accepted) < 16
        held = git(repository, "for-each-ref", "refs/expd").splitlines()
        assert len(held) == len(accepted)
        daemon.stop()
        daemon.before = ()
        daemon.restart()
        assert {str(entry["name"]) for entry in daemon.entries(repository)} == accepted


@needs_strace
def test_a_slow_disk_makes_nobody_wait_who_only_asks(tmp_path: Path) -> None:
    """With a tenth of a second for each sync of the store, submissions are slow and right, and answers come in time."""
    repository = a_repository(tmp_path / "project")
    with a_daemon(before=_strace("fdatasync", "delay_exit=100000")) as daemon:
        submitting = [daemon.start_expctl(repository, "submit", "-n", f"n{number}") for number in range(5)]
        slowest = 0.0
        while any(client.poll() is None for client in submitting):
            start = time.monotonic()
            with Talk(daemon) as talk:
                assert isinstance(talk.request(AskDaemon()), DaemonShown)
            slowest = max(slowest, time.monotonic() - start)
        for client in submitting:
            client.communicate()

        assert [client.returncode for client in submitting] == [0] * 5
        assert slowest < ANSWER_SECONDS
        daemon.expctl(repository, "wait", *(f"n{number}" for number in range(5)))


@needs_prlimit
def test_few_descriptors_are_few_clients_and_no_less_service(tmp_path: Path) -> None:
    """With 64 descriptors and 100 clients, those who are in are answered; too many hear why, and come in when others left."""
    repository = a_repository(tmp_path / "project")
    with a_daemon(before=("prlimit", "--nofile=64:64")) as daemon:
        first = Talk(daemon)
        with ExitStack() as crowd:
            talks = [crowd.enter_context(Talk(daemon)) for _client in range(40)]
            refused = [talk.request(AskDaemon()) for talk in talks]
            start = time.monotonic()
            assert isinstance(first.request(AskDaemon()), DaemonShown)
            took = time.monotonic() - start
            said = daemon.run_expctl(repository, "status")
        daemon.expctl(repository, "submit", "-n", "one")
        daemon.expctl(repository, "wait", "one")
        first.socket.close()

        assert took < ANSWER_SECONDS
        assert sum(isinstance(answer, DaemonShown) for answer in refused) == 15
        assert "clients are connected" in said.stderr.decode()
        assert daemon.process.poll() is None


@needs_prlimit
def test_a_daemon_without_a_descriptor_left_goes_on_when_there_are_some(tmp_path: Path) -> None:
    """Requests are refused in words, connections wait, nothing spins; with descriptors again all is as before."""
    repository = a_repository(tmp_path / "project")
    with a_daemon() as daemon:
        daemon.expctl(repository, "submit", "--hold", "-n", "one")
        process = psutil.Process(daemon.process.pid)
        with Talk(daemon) as talk:
            _limit(daemon.process.pid, f"--nofile={process.num_fds()}:")
            before = sum(process.cpu_times()[:2])
            client = daemon.start_expctl(repository, "status")  # it waits to be accepted
            assert isinstance(talk.request(AskDaemon()), DaemonShown)
            eventually(lambda: "no connection can be accepted" in daemon.journal(), "it is said")
            spent = sum(process.cpu_times()[:2]) - before
            _limit(daemon.process.pid, "--nofile=1024:")
            out, _err = client.communicate()

        assert client.returncode == 0
        assert b"one" in out
        assert spent < 0.5
        daemon.expctl(repository, "release", "one")
        daemon.expctl(repository, "wait", "one")


@needs_prlimit
def test_a_daemon_with_little_memory_refuses_or_ends_cleanly(tmp_path: Path) -> None:
    """What does not fit into memory is refused; nothing acknowledged is lost, whether the daemon lives or has to be started again."""
    repository = a_repository(tmp_path / "project")
    with a_daemon() as daemon:
        daemon.expctl(repository, "submit", "--hold", "-n", "before", "--", "true")
        process = psutil.Process(daemon.process.pid)
        _limit(process.pid, f"--as={process.memory_info().vms + 4 * 2**20}:")
        (repository / "big.bin").write_bytes(os.urandom(24 * 2**20))

        ran = daemon.run_expctl(repository, "submit", "--hold", "-n", "big", "--", "true")
        if daemon.process.poll() is not None:
            daemon.restart()
        else:
            _limit(process.pid, "--as=unlimited:")
        (repository / "big.bin").unlink()
        daemon.expctl(repository, "submit", "--hold", "-n", "after", "--", "true")

        names = [str(entry["name"]) for entry in daemon.entries(repository)]
        assert names == ["before", *(["big"] if ran.returncode == 0 else []), "after"]
        assert ran.returncode in {0, 1, 3}


def test_a_frozen_command_is_ended(tmp_path: Path) -> None:
    """A command that is stopped hears no signal but the last one: after a cancel nothing of it is left."""
    repository = a_repository(tmp_path / "project")
    with a_daemon(config="grace_seconds = 0.2\n") as daemon:
        marker = f"4{os.getpid():07d}"
        daemon.expctl(repository, "submit", "-n", "one", "--", "sleep", marker)
        eventually(lambda: _running(marker), "it runs")
        _running(marker)[0].suspend()

        daemon.expctl(repository, "cancel", "one")
        daemon.run_expctl(repository, "wait", "one")

        assert daemon.entries(repository)[0]["outcome"] == "cancelled"
        assert _running(marker) == []


def _running(marker: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [])[:2] == ["sleep", marker]
    ]
