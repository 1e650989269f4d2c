"""Fixtures of faults."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon, a_daemon
from helpers.repositories import a_repository


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningDaemon, Path]]:
    """Give a daemon for all tests of this file, and a project."""
    with a_daemon(jobs=1) as daemon:
        yield daemon, a_repository(tmp_path_factory.mktemp("hosted") / "project")
