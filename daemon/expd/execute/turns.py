"""Calls of a project from several tasks, each in a thread: one at a time, since a project is not for several at once."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Turns:
    """Whose turn it is with one project. Nobody waits for a command or for another run during a turn."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def take(self, call: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Make one call, which may block, when it is our turn."""
        async with self._lock:
            return await trio.to_thread.run_sync(call, *arguments)
