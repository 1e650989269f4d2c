"""Fixtures that several tiers share; everything else is in tests/helpers, by name."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon, a_daemon
from helpers.repositories import a_repository

# A shell's background jobs ignore SIGINT, and so would every client that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a Git and DVC project whose pipeline takes milliseconds."""
    return a_repository(tmp_path / "project")


@pytest.fixture
def daemon() -> Iterator[RunningDaemon]:
    """Give a running daemon with one slot."""
    with a_daemon() as running:
        yield running
