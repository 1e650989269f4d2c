"""A bell: rung when something changed, heard by whoever was listening before they looked."""

import trio


class Bell:
    """Wakes all listeners at each ring.

    Take `next_ring` first, then look at the state, then await what was taken: a change between the look and the
    wait has then rung already, and nothing is missed without any timer.
    """

    def __init__(self) -> None:
        self._ring = trio.Event()
        self._others: list[Bell] = []

    @property
    def next_ring(self) -> trio.Event:
        """Give the event that the next ring sets."""
        return self._ring

    def ring(self) -> None:
        """Wake everyone who took `next_ring` before now."""
        self._ring.set()
        self._ring = trio.Event()
        for other in self._others:
            other.ring()

    def rings_too(self, other: "Bell") -> None:
        """Let another bell be rung with this one, so that whoever listens to several waits for one of them."""
        self._others.append(other)


async def wait_first(*events: trio.Event) -> None:
    """Wait until one of these is set; for a single one no task is started."""
    if len(events) == 1:
        await events[0].wait()
        return

    async def wait(event: trio.Event, scope: trio.CancelScope) -> None:
        await event.wait()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        for event in events:
            nursery.start_soon(wait, event, nursery.cancel_scope)
