"""The one place where a test waits for something it can't be told of: with a deadline, and what was seen last."""

import threading
import time
from collections.abc import Callable

from helpers.daemons import DEADLINE_SECONDS


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds; fails with `what` and the last value it gave."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    between_looks = threading.Event()
    while not (seen := condition()):
        assert time.monotonic() < deadline, f"{what}: last seen {seen!r}"
        between_looks.wait(0.01)
