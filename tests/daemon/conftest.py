"""Fixtures of the rooms' tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.queues import Queue
from expd.queueing.database import Database


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    """Give an empty queue."""
    database = Database(tmp_path / "queue.db")
    database.open()
    opened = Queue(database, tmp_path)
    await opened.ensure_pool(2)
    yield opened
    database.close()
