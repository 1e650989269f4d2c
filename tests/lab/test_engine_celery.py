"""The engine of other hosts keeps the contract of engines, over a real Redis on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.engine_contract import EngineContract, Place
from helpers.distributed import WorkerProgram, needs_broker, other_hosts

pytestmark = [pytest.mark.lab, needs_broker]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give a daemon that sends entries to a worker program."""
    directory: Path = tmp_path_factory.mktemp("celery")
    with other_hosts(directory) as (daemon, _redis, _hub):
        worker = WorkerProgram(daemon, "--slots", "2")
        try:
            yield Place(daemon, "--on", "celery")
        finally:
            worker.kill()
            print(worker.log.read_text())  # noqa: T201 - pytest shows it with a failure


class TestCeleryEngine(EngineContract):
    """Workers that share nothing with the daemon but a broker and a hub."""
