"""A worker as the daemon knows it: its process, its conversation, and the run it is in."""

import logging
from dataclasses import dataclass, field

import trio

from expd.linux.processes import ProcessIdentity
from expproto.vocabulary import RunId
from expproto.work import Order

_journal = logging.getLogger("expd.dispatch")

_ORDERS_MAX = 16
"""Orders on their way to one worker: it has one run at a time, so that even four would be a bug."""


@dataclass(slots=True, eq=False)
class WorkerSlot:
    """One worker. `identity` is known once it has registered; `orders` leads to its connection while it has one."""

    token: str
    identity: ProcessIdentity | None = None
    orders: trio.MemorySendChannel[Order | trio.Event] | None = None
    run: RunId | None = None
    gone: trio.Event = field(default_factory=trio.Event)
    unwanted: trio.Event = field(default_factory=trio.Event)
    """Set once the end of the run is wanted in which it was taken in."""
    answered: trio.Event = field(default_factory=trio.Event)
    """Set once it is known whether it can be spoken to: it has a connection then, or none."""

    @property
    def is_idle(self) -> bool:
        """Tell whether it can be given a run."""
        return self.orders is not None and self.run is None

    def connect(self) -> trio.MemoryReceiveChannel[Order | trio.Event]:
        """Open the way to a new connection of this worker; one before is forgotten."""
        self.orders, receiving = trio.open_memory_channel[Order | trio.Event](_ORDERS_MAX)
        self.answered.set()
        return receiving

    def order(self, order: Order) -> None:
        """Send an order if the worker is connected and listens; one that does not agrees anew when it comes back."""
        if self.orders is None:
            return
        try:
            self.orders.send_nowait(order)
        except (trio.WouldBlock, trio.BrokenResourceError):
            _journal.warning("worker %s does not listen: %s is not sent", self.identity, order.kind)

    async def wait_told(self) -> None:
        """Wait until everything ordered so far is on its way; returns at once if the worker does not listen."""
        told = trio.Event()
        try:
            if self.orders is not None:
                self.orders.send_nowait(told)
                await told.wait()
        except (trio.WouldBlock, trio.BrokenResourceError):
            return
