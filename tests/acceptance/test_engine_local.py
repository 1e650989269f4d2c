"""The engine of this host keeps the contract of engines."""

from collections.abc import Iterator

import pytest

from acceptance.engine_contract import EngineContract, Place
from helpers.daemons import a_daemon


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Give a daemon that runs entries itself."""
    with a_daemon() as daemon:
        yield Place(daemon)


class TestLocalEngine(EngineContract):
    """Worker processes of this host."""
