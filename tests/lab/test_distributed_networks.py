"""Hosts in networks of their own: a hub over ssh, links that are cut, hosts that die; every entry has one result."""

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acceptance.engine_contract import Place
from expd.linux.processes import identity_of
from helpers.daemons import BIN, RunningDaemon
from helpers.distributed import Redis, WorkerProgram, a_hub, celery_config, needs_broker
from helpers.networks import HEAD, Network, a_network, why_no_networks
from helpers.repositories import a_repository, git
from helpers.waiting import eventually

NO_NETWORKS = why_no_networks()
pytestmark = [
    pytest.mark.lab,
    pytest.mark.faults,
    needs_broker,
    pytest.mark.skipif(NO_NETWORKS is not None, reason=NO_NETWORKS or ""),
]

EXAMPLE = Path(__file__).parent.parent.parent / "docs" / "examples" / "digits"


class Lab(Place):
    """The head with daemon, broker and hub, and workers on other hosts."""

    def __init__(self, daemon: RunningDaemon, redis: Redis, network: Network) -> None:
        super().__init__(daemon, "--on", "celery")
        self.redis = redis
        self.network = network
        self.workers: dict[int, WorkerProgram] = {}

    def start(self, host: int, slots: int = 1) -> None:
        """Start the worker program of a host."""
        before, name = self.network.on(host), f"host{host}-{secrets.token_hex(2)}"
        self.workers[host] = WorkerProgram(self.daemon, "--slots", str(slots), name=name, before=before)

    def busy_hosts(self, repository: Path) -> dict[str, str]:
        """Map entries that run to the hosts on which they do."""
        entries = self.daemon.entries(repository)
        return {
            str(entry["id"]): str(entry["host"]) for entry in entries if entry["state"] == "running" and entry["host"]
        }

    def count_done(self, repository: Path) -> int:
        """Count the entries that have succeeded."""
        return sum(1 for entry in self.daemon.entries(repository) if entry["outcome"] == "succeeded")

    def wait_all(self, repository: Path) -> list[str]:
        """Wait until everything is done, and give how."""
        names = [str(entry["id"]) for entry in self.daemon.entries(repository)]
        waiting = self.daemon.start_expctl(repository, "wait", *names)
        waiting.communicate(timeout=600)
        return [str(entry["outcome"]) for entry in self.daemon.entries(repository)]


@contextmanager
def a_lab(directory: Path, hosts: int) -> Iterator[Lab]:
    """Have a head and so many hosts."""
    with a_network(directory / "network", hosts) as network:
        redis = Redis(directory / "redis", network.on_head(), HEAD)
        hub = a_hub(directory / "hub.git")
        config = celery_config(redis.url, f"ssh://root@{HEAD}{hub}", lease_seconds=5.0)
        before = (*network.on_head(), "env", f"GIT_SSH_COMMAND={network.ssh}")
        daemon = RunningDaemon(f"jobs = 1\n{config}", before=before)
        daemon.environ["GIT_SSH_COMMAND"] = network.ssh
        lab = Lab(daemon, redis, network)
        try:
            yield lab
        finally:
            for worker in lab.workers.values():
                worker.kill()
                print(worker.log.read_text())  # noqa: T201 - pytest shows it with a failure
            daemon.stop()
            print(daemon.journal())  # noqa: T201 - pytest shows it with a failure
            daemon.remove()
            redis.stop()


def _names_in_dvc(repository: Path) -> list[str]:
    listed = subprocess.run(
        [BIN / "dvc", "exp", "list", "--name-only"], cwd=repository, check=True, capture_output=True, text=True
    )
    return listed.stdout.split()


def test_a_sweep_over_two_hosts_survives_what_hosts_do(tmp_path: Path) -> None:
    """A host is killed, another's link cut for longer than the lease, broker and daemon end on the way: twelve of twelve, once."""
    repository = tmp_path / "digits"
    shutil.copytree(EXAMPLE, repository, ignore=shutil.ignore_patterns("__pycache__"))
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(repository))
    subprocess.run([BIN / "dvc", "init", "--quiet"], cwd=repository, check=True)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "digits")
    with a_lab(tmp_path / "lab", 2) as lab:
        lab.network.slow_down(2, 20)
        for host in (1, 2):
            lab.start(host)
        sweep = "train.seed=" + ",".join(map(str, range(1, 13)))
        lab.daemon.expctl(repository, "submit", "--quiet", *lab.on, "-S", sweep)
        eventually(lambda: len(lab.busy_hosts(repository)) == 2, "both hosts are busy")

        lab.workers[1].kill()
        lab.start(1)
        eventually(lambda: lab.count_done(repository) >= 3, "three are done")
        lab.network.cut(2)
        eventually(lambda: lab.count_done(repository) >= 5, "five are done")
        lab.redis.stop()
        lab.redis.start()
        lab.daemon.kill()
        lab.network.join(2)
        lab.daemon.restart()
        outcomes = lab.wait_all(repository)

        assert outcomes == ["succeeded"] * 12
        assert len(set(_names_in_dvc(repository))) == len(_names_in_dvc(repository)) == 12


def test_follow_shows_what_another_host_writes_while_it_does(tmp_path: Path) -> None:
    """Over a slow link, a cut of it and a hub over ssh: each byte, in order, with the run's exit code; and cancel reaches its tree."""
    repository, gate = a_repository(tmp_path / "project"), tmp_path / "gate"
    script = f"seq 1 2000; until [ -e {gate} ]; do sleep 0.05; done; seq 2001 4000; exit 3"
    with a_lab(tmp_path / "lab", 1) as lab:
        lab.network.slow_down(1, 50)
        lab.start(1)
        entry = lab.submit(repository, "--", "sh", "-c", script)
        following = lab.daemon.start_expctl(repository, "follow", "--raw", entry)
        eventually(lambda: "2000\n" in lab.log(repository, entry), "what is written is here")
        assert list(lab.busy_hosts(repository)) == [entry]
        lab.network.cut(1)
        gate.touch()
        lab.network.join(1)
        shown, _errors = following.communicate(timeout=120)

        assert shown == "".join(f"{number}\n" for number in range(1, 4001)).encode()
        assert following.returncode == 3
        other = lab.submit(repository, "--", "sh", "-c", "sleep 1000 & echo $!; wait")
        process = identity_of(int(lab.first_line(repository, other)))
        lab.daemon.expctl(repository, "cancel", other)
        assert lab.daemon.run_expctl(repository, "wait", other).returncode == 125
        assert process is not None
        assert not process.is_alive()


def test_a_hundred_over_three_hosts_one_killed_and_one_cut_off(tmp_path: Path) -> None:
    """A hundred short experiments have a hundred results, none of them twice."""
    repository = a_repository(tmp_path / "project")
    with a_lab(tmp_path / "lab", 3) as lab:
        for host in (1, 2, 3):
            lab.start(host, slots=2)
        sweep = "train.lr=" + ",".join(f"0.{number:03}" for number in range(1, 101))
        lab.daemon.expctl(repository, "submit", "--quiet", *lab.on, "-S", sweep)
        eventually(lambda: lab.count_done(repository) >= 10, "ten are done")

        lab.workers[1].kill()
        lab.network.cut(2)
        outcomes = lab.wait_all(repository)

        assert outcomes == ["succeeded"] * 100
        assert len(git(repository, "for-each-ref", "refs/exps").splitlines()) == 100
