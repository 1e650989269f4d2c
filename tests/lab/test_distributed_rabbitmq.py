"""The same over RabbitMQ: what engines promise, what must hold when hosts and broker go, and TLS."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.engine_contract import EngineContract, Place
from helpers.certificates import Certificates, make_certificates
from helpers.daemons import RunningDaemon
from helpers.distributed import WorkerProgram, a_hub, celery_config, needs_broker, other_hosts
from helpers.rabbitmq import RabbitMQ, needs_rabbitmq
from helpers.waiting import eventually
from lab.test_distributed_faults import (  # noqa: F401 - collected here, with the broker of this file
    Hosts,
    test_a_broker_that_forgets_loses_nothing,
    test_a_broker_that_is_away_for_long_costs_no_attempt,
    test_a_host_that_dies_costs_no_retry,
    test_a_late_result_is_nobodys,
    test_a_task_that_is_delivered_twice_runs_once,
    test_the_submitting_host_may_be_off,
    test_what_no_worker_has_taken_is_cancelled_at_once,
    test_without_a_broker_entries_wait_and_local_ones_run,
)

pytestmark = [pytest.mark.lab, pytest.mark.faults, needs_broker, needs_rabbitmq]

FORGET = """\
import sys
from expd.distributed.broker import open_app
from expd.distributed.messages import BrokerAddress
with open_app(BrokerAddress(url=sys.argv[1])).connection_for_write() as connection:
    connection.default_channel.queue_delete("expd")
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make certificates once."""
    return make_certificates(tmp_path_factory.mktemp("certificates") / "ours")


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[RabbitMQ]:
    """Give a RabbitMQ, which takes ten seconds to start."""
    rabbitmq = RabbitMQ(tmp_path_factory.mktemp("rabbitmq") / "node", tls=certificates)
    yield rabbitmq
    rabbitmq.remove()


def _forget(rabbitmq: RabbitMQ, daemon: RunningDaemon) -> None:
    """Delete what tests before have left in the queue of workers."""
    subprocess.run([sys.executable, "-c", FORGET, rabbitmq.url], env=daemon.environ, check=True, capture_output=True)


@pytest.fixture
def hosts(rabbitmq: RabbitMQ, tmp_path: Path) -> Iterator[Hosts]:
    """Give a daemon with this broker, a hub and no worker."""
    with other_hosts(tmp_path / "hosts", rabbitmq) as (daemon, broker, hub):
        _forget(rabbitmq, daemon)
        found = Hosts(daemon, broker, hub)
        try:
            yield found
        finally:
            for worker in found.workers:
                worker.kill()
                print(worker.log.read_text())  # noqa: T201 - pytest shows it with a failure


@pytest.fixture(scope="module")
def place(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give a daemon that sends entries to a worker program."""
    with other_hosts(tmp_path_factory.mktemp("contract"), rabbitmq) as (daemon, _broker, _hub):
        _forget(rabbitmq, daemon)
        worker = WorkerProgram(daemon, "--slots", "2")
        try:
            yield Place(daemon, "--on", "celery")
        finally:
            worker.kill()
            print(worker.log.read_text())  # noqa: T201 - pytest shows it with a failure


class TestCeleryEngine(EngineContract):
    """Workers that share nothing with the daemon but this broker and a hub."""


def test_certificates_of_both_sides_are_asked_for(
    rabbitmq: RabbitMQ, certificates: Certificates, repository: Path, tmp_path: Path
) -> None:
    """With the authority and a certificate of ours an entry runs; without, it waits, and says why."""
    certificate, key = certificates.signed("client")
    config = "jobs = 1\n" + celery_config(rabbitmq.tls_url, a_hub(tmp_path / "hub.git"))
    known = f"ca_file = '{certificates.authority}'\n"
    daemon = RunningDaemon(f"{config}{known}cert_file = '{certificate}'\nkey_file = '{key}'\n")
    stranger = RunningDaemon(config)
    _forget(rabbitmq, daemon)
    worker = WorkerProgram(daemon)
    try:
        place, outside = Place(daemon, "--on", "celery"), Place(stranger, "--on", "celery")
        entry = place.submit(repository, "-n", "inside", "--", "true")
        waits = outside.submit(repository, "-n", "outside", "--", "true")
        daemon.expctl(repository, "wait", entry)
        eventually(lambda: "certificate" in str(outside.entry(repository, waits)["waits_for"]), "the reason")
    finally:
        worker.kill()
        for each in (daemon, stranger):
            each.stop()
            each.remove()
