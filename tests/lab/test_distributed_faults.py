"""What goes wrong between hosts: whoever is lost, stopped, late or asked twice, every entry has one result."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.engine_contract import Place
from helpers.daemons import RunningDaemon
from helpers.distributed import PASSWORD, Broker, WorkerProgram, needs_broker, other_hosts
from helpers.repositories import git
from helpers.waiting import eventually

pytestmark = [pytest.mark.lab, pytest.mark.faults, needs_broker]

LET_GO = """\
import json, sys
from expd.distributed.broker import open_app
from expd.distributed.messages import BrokerAddress
with open_app(BrokerAddress(url=sys.argv[1]), 1).connection_for_write() as connection:
    channel = connection.channel()
    channel.qos.restore_visible()
    with channel.conn_or_acquire() as client:
        taken = dict(client.zrange(channel.unacked_index_key, 0, -1, withscores=True))
        tasks = [tag for tag, text in client.hgetall(channel.unacked_key).items() if json.loads(text)[2] == "expd"]
        print(len(tasks), max(taken[tag] for tag in tasks), client.llen("expd"))
"""
TAKE = """\
import base64, json, sys
from expd.distributed.broker import open_app
from expd.distributed.messages import BrokerAddress
with open_app(BrokerAddress(url=sys.argv[1])).connection_for_write() as connection:
    with connection.channel().conn_or_acquire() as client:
        arguments, _named, _embedded = json.loads(base64.b64decode(json.loads(client.lpop("expd"))["body"]))
        print(json.dumps(arguments[0]))
"""
SEND = """\
import json, sys
from expd.distributed.broker import Desk
from expd.distributed.messages import BrokerAddress
Desk(BrokerAddress(url=sys.argv[1])).send_task(json.load(sys.stdin), "expd")
"""


class Hosts(Place):
    """A daemon, its broker and hub, and workers that tests start and end."""

    def __init__(self, daemon: RunningDaemon, broker: Broker, hub: Path) -> None:
        super().__init__(daemon, "--on", "celery")
        self.broker = broker
        self.hub = hub
        self.workers: list[WorkerProgram] = []

    def worker(self, name: str, **environ: str) -> WorkerProgram:
        """Start a worker host."""
        self.workers.append(WorkerProgram(self.daemon, name=name, environ=environ))
        return self.workers[-1]

    def claims(self) -> list[str]:
        """List the attempts that somebody has claimed on the hub, by their tokens."""
        refs = git(self.hub, "for-each-ref", "--format=%(refname)", "refs/expd/claims").splitlines()
        return [ref.rpartition("/")[2] for ref in refs]

    def results(self, repository: Path) -> int:
        """Count experiments."""
        return len(git(repository, "for-each-ref", "refs/exps").splitlines())

    def waits_for(self, repository: Path, entry: str) -> str:
        """Give the reason that status shows."""
        return str(self.entry(repository, entry)["waits_for"])


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Give a daemon with a broker, a hub and no worker."""
    with other_hosts(tmp_path / "hosts") as (daemon, broker, hub):
        found = Hosts(daemon, broker, hub)
        try:
            yield found
        finally:
            for worker in found.workers:
                worker.kill()
                print(worker.log.read_text())  # noqa: T201 - pytest shows it with a failure


def _gated(gate: Path) -> list[str]:
    return ["--", "sh", "-c", f"echo begun $PPID; until [ -e {gate} ]; do sleep 0.05; done; echo over > out.txt"]


def test_a_host_that_dies_costs_no_retry(hosts: Hosts, repository: Path, tmp_path: Path) -> None:
    """The entry runs again on another host once its lease has run out, and has one result."""
    gate = tmp_path / "gate"
    dying = hosts.worker("dying")
    entry = hosts.submit(repository, *_gated(gate))
    hosts.first_line(repository, entry)

    dying.kill()
    hosts.worker("other")
    eventually(lambda: hosts.entry(repository, entry)["attempt"] == 2, "another attempt")
    gate.touch()
    hosts.daemon.expctl(repository, "wait", entry)

    assert hosts.results(repository) == 1


def test_a_host_that_claims_and_is_never_heard_of_holds_up_nothing(
    hosts: Hosts, repository: Path, tmp_path: Path
) -> None:
    """A host that was cut off as it claimed an attempt has it for a lease, whatever waits beside; then it runs elsewhere."""
    gate = tmp_path / "gate"
    hosts.worker("other")
    before = hosts.submit(repository, *_gated(gate))
    hosts.first_line(repository, before)
    entry = hosts.submit(repository, "--", "true")
    eventually(lambda: "a worker of expd" in hosts.waits_for(repository, entry), "it is out")
    words = [sys.executable, "-c", TAKE, hosts.broker.url]
    task = json.loads(subprocess.run(words, env=hosts.daemon.environ, check=True, capture_output=True).stdout)
    claim = git(hosts.hub, "rev-parse", f"refs/expd/entries/{task['held_as']}")
    git(hosts.hub, "update-ref", f"refs/expd/claims/{task['held_as']}/{task['token']}", claim)

    after = hosts.submit(repository, "--", "true")
    eventually(lambda: hosts.entry(repository, entry)["attempt"] == 2, "another attempt, while others run and wait")
    gate.touch()
    hosts.daemon.expctl(repository, "wait", before, entry, after)

    assert hosts.results(repository) == 3


def test_a_late_result_is_nobodys(hosts: Hosts, repository: Path, tmp_path: Path) -> None:
    """A host that was cut off finishes what was given up: its worker is told, and its result changes nothing."""
    gate = tmp_path / "gate"
    frozen = hosts.worker("frozen")
    entry = hosts.submit(repository, *_gated(gate))
    hosts.first_line(repository, entry)

    os.kill(frozen.process.pid, signal.SIGSTOP)
    hosts.worker("other")
    eventually(lambda: hosts.entry(repository, entry)["attempt"] == 2, "another attempt")
    gate.touch()
    hosts.daemon.expctl(repository, "wait", entry)
    before = git(repository, "for-each-ref", "refs/exps")
    os.kill(frozen.process.pid, signal.SIGCONT)
    eventually(lambda: _is_idle(frozen), "the given up attempt ends")

    assert git(repository, "for-each-ref", "refs/exps") == before
    assert hosts.entry(repository, entry)["attempt"] == 2


def _is_idle(worker: WorkerProgram) -> bool:
    return not list((worker.directory / "state" / "worker" / "runs").iterdir())


def test_a_task_that_is_delivered_twice_runs_once(hosts: Hosts, repository: Path, tmp_path: Path) -> None:
    """The claim on the hub is refused to the second, on another host and after the end."""
    hosts.worker("one")
    hosts.worker("two")
    runs = tmp_path / "runs"
    entry = hosts.submit(repository, "--", "sh", "-c", f"echo $EXPD_NAME >> {runs}; sleep 1; echo made > out.txt")
    eventually(runs.exists, "the run has begun")
    (token,) = hosts.claims()
    task = _task_again(hosts, repository, entry, token)

    for _time in range(3):
        _send(hosts, task)
    hosts.daemon.expctl(repository, "wait", entry)
    _send(hosts, task)
    after = hosts.submit(repository, "--", "true")
    hosts.daemon.expctl(repository, "wait", after)

    assert len(runs.read_text().splitlines()) == 1
    assert hosts.entry(repository, entry)["attempt"] == 1


def _task_again(hosts: Hosts, repository: Path, entry: str, token: str) -> dict[str, object]:
    """Make a task like the one that was sent: with its token, which is all that counts."""
    record = hosts.entry(repository, entry)
    held = git(hosts.hub, "for-each-ref", "--format=%(refname)", "refs/expd/entries").removeprefix("refs/expd/entries/")
    script = (
        "import json,sys\nfrom daemon.scripted import an_order\nfrom expd.distributed.messages import task_of\n"
        "from expproto.fields import to_map\nfrom pathlib import Path\nfrom expd.distributed.messages import Parcel\n"
        "order = an_order(Path('/'), Path(sys.argv[1]), ('sh', '-c', 'exit 9'), run_token=sys.argv[2], stash_rev=sys.argv[3], environment=())\n"
        "parcel = Parcel(held_as=sys.argv[4], held_rev=sys.argv[3], cargo=None, author_name='A', author_email='a@b')\n"
        "task = task_of(order, parcel, lease_seconds=3.0, pushes_data=False)\n"
        "print(json.dumps(to_map(task)))"
    )
    words = [sys.executable, "-c", script, str(repository), token, str(record["stash_rev"]), held]
    environ = {**hosts.daemon.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent.parent)])}
    done = subprocess.run(words, env=environ, check=True, capture_output=True)
    task: dict[str, object] = json.loads(done.stdout)
    return task


def _send(hosts: Hosts, task: dict[str, object]) -> None:
    words = [sys.executable, "-c", SEND, hosts.broker.url]
    subprocess.run(words, input=json.dumps(task).encode(), env=hosts.daemon.environ, check=True, capture_output=True)


def test_a_long_run_is_not_delivered_again(hosts: Hosts, repository: Path, tmp_path: Path) -> None:
    """A worker that lives renews what it has taken, so that a broker does not hand it on, whoever asks it to."""
    gate = tmp_path / "gate"
    config = hosts.daemon.directory / "renewing.toml"
    config.write_text(Path(hosts.daemon.environ["EXPD_CONFIG"]).read_text() + "visibility_seconds = 1\n")
    worker = hosts.worker("one", EXPD_CONFIG=str(config))
    entry = hosts.submit(repository, *_gated(gate))
    hosts.first_line(repository, entry)
    _count, first, _waiting = _let_go(hosts)

    eventually(lambda: _let_go(hosts)[1] > first + 2.0, "what was taken is renewed for twice as long as it may stay")
    taken, _at, waiting = _let_go(hosts)
    gate.touch()
    hosts.daemon.expctl(repository, "wait", entry)

    assert (taken, waiting) == (1, 0)
    assert hosts.entry(repository, entry)["attempt"] == 1
    assert "passed over" not in worker.log.read_text()


def _let_go(hosts: Hosts) -> tuple[int, float, int]:
    """Have the broker hand on what was taken for longer than a second; gives how much is taken, since when, and what waits."""
    words = [sys.executable, "-c", LET_GO, hosts.broker.url]
    done = subprocess.run(words, env=hosts.daemon.environ, check=True, capture_output=True, text=True)
    taken, at, waiting = done.stdout.split()
    return int(taken), float(at), int(waiting)


def test_without_a_broker_entries_wait_and_local_ones_run(hosts: Hosts, repository: Path) -> None:
    """Nothing is lost, the reason is shown without the password, and all of it runs once the broker is back."""
    hosts.broker.stop()
    far = hosts.submit(repository, "-n", "far", "--", "true")
    eventually(lambda: "the broker is away" in hosts.waits_for(repository, far), "the reason")
    near = hosts.daemon.expctl(repository, "submit", "--quiet", "-n", "near", "--", "true").strip()
    hosts.daemon.expctl(repository, "wait", near)
    why = hosts.waits_for(repository, far)

    hosts.broker.start()
    hosts.worker("one")
    hosts.daemon.expctl(repository, "wait", far)

    assert PASSWORD not in why
    assert hosts.results(repository) == 2


def test_a_broker_that_forgets_loses_nothing(hosts: Hosts, repository: Path, tmp_path: Path) -> None:
    """A broker, a Redis without persistence here, is started anew while one entry runs and another waits: both have their result."""
    gate = tmp_path / "gate"
    hosts.worker("one")
    runs = hosts.submit(repository, "-n", "runs", *_gated(gate))
    hosts.first_line(repository, runs)
    waits = hosts.submit(repository, "-n", "waits", "--", "sh", "-c", "echo late > late.txt")

    hosts.broker.stop()
    hosts.broker.start()
    gate.touch()
    hosts.daemon.expctl(repository, "wait", runs, waits)

    assert [hosts.entry(repository, entry)["attempt"] for entry in (runs, waits)] == [1, 1]
    assert hosts.results(repository) == 2


def test_a_broker_that_is_away_for_long_costs_no_attempt(hosts: Hosts, repository: Path, tmp_path: Path) -> None:
    """However long a worker has tried in vain: once the broker is back, it says within a lease that it lives."""
    talk, end = tmp_path / "talk", tmp_path / "end"
    worker = hosts.worker("one")
    script = (
        f"echo begun; until [ -e {talk} ]; do sleep 0.05; done; echo again; until [ -e {end} ]; do sleep 0.05; done"
    )
    entry = hosts.submit(repository, "--", "sh", "-c", script)
    hosts.first_line(repository, entry)

    hosts.broker.stop()
    eventually(lambda: worker.log.read_text().count("the broker is away") >= 5, "the worker has tried again and again")
    talk.touch()
    hosts.broker.start()
    eventually(lambda: "again" in hosts.log(repository, entry), "the worker is heard")
    end.touch()
    hosts.daemon.expctl(repository, "wait", entry)

    assert hosts.entry(repository, entry)["attempt"] == 1


def test_the_submitting_host_may_be_off(hosts: Hosts, repository: Path) -> None:
    """What was sent runs without it, and is collected when it is back, although the broker has forgotten everything."""
    hosts.worker("one")
    entries = hosts.submit(repository, "-S", "train.lr=0.1,0.2,0.3").split()
    eventually(hosts.claims, "the first is claimed")

    hosts.daemon.kill()
    eventually(
        lambda: len(git(hosts.hub, "for-each-ref", "refs/expd/attempts").splitlines()) >= 1, "a result on the hub"
    )
    hosts.broker.stop()
    hosts.broker.start()
    hosts.daemon.restart()
    hosts.daemon.expctl(repository, "wait", *entries)

    assert hosts.results(repository) == 3
    eventually(lambda: not git(hosts.hub, "for-each-ref", "refs/expd/attempts"), "what was collected is cleared away")


def test_what_no_worker_has_taken_is_cancelled_at_once(hosts: Hosts, repository: Path, tmp_path: Path) -> None:
    """The daemon claims the attempt itself, so that a worker that comes later runs nothing."""
    ran = tmp_path / "ran"
    entry = hosts.submit(repository, "--", "touch", str(ran))
    eventually(lambda: "a worker of expd" in hosts.waits_for(repository, entry), "it is out")

    hosts.daemon.expctl(repository, "cancel", entry)
    assert hosts.daemon.run_expctl(repository, "wait", entry).returncode == 125
    hosts.worker("late")
    other = hosts.submit(repository, "--", "true")
    hosts.daemon.expctl(repository, "wait", other)

    assert not ran.exists()


def test_a_queue_has_its_own_workers(hosts: Hosts, repository: Path) -> None:
    """What is sent to a queue waits for those who serve it, and says so."""
    hosts.worker("plain")
    entry = hosts.daemon.expctl(repository, "submit", "--quiet", "--on", "celery:gpu", "--", "true").strip()
    eventually(lambda: "a worker of expd.gpu" in hosts.waits_for(repository, entry), "the reason")

    hosts.workers.append(WorkerProgram(hosts.daemon, "--queue", "gpu", name="gpu"))
    hosts.daemon.expctl(repository, "wait", entry)

    assert hosts.results(repository) == 1


def test_only_named_variables_travel(hosts: Hosts, repository: Path) -> None:
    """Of the submitter's environment a run has what --env names; the rest, and the broker's password, are nowhere."""
    hosts.worker("one")
    hosts.daemon.environ["SECRET_CANARY"] = "canary-of-the-submitter"
    hosts.daemon.environ["CHOSEN"] = "chosen-value"
    entry = hosts.submit(repository, "--env", "CHOSEN", "--", "sh", "-c", "env > env.txt")
    hosts.daemon.expctl(repository, "wait", entry)

    env = git(repository, "show", f"{git(repository, 'for-each-ref', '--format=%(refname)', 'refs/exps')}:env.txt")
    logs = hosts.daemon.journal() + hosts.workers[0].log.read_text()
    assert "CHOSEN=chosen-value" in env
    assert "canary-of-the-submitter" not in env
    assert "chosen-value" not in logs
    assert PASSWORD not in logs
