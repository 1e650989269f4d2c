"""Fixtures that several tiers share; everything else is in tests/helpers, by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon, a_daemon
from helpers.repositories import a_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a Git and DVC project whose pipeline takes milliseconds."""
    return a_repository(tmp_path / "project")


@pytest.fixture
def daemon() -> Iterator[RunningDaemon]:
    """Give a running daemon with one slot."""
    with a_daemon() as running:
        yield running
