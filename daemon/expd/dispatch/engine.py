"""The contract between the pool and what executes runs: an engine.

The pool decides what runs next, owns the store and tells of every end; an engine finds places for runs, starts them,
passes on what they report and notices when they are gone. Neither knows how the other does it. A run is one attempt,
fenced by its token: an engine passes on whatever it hears with the token it came under, and the pool passes over what
comes under another. Time limits are part of the order and kept by the worker, on whatever host it is.

A new engine is one file that fulfils `Engine`, and the tests of `tests/daemon/engine_contract.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from expd.queueing.entry import Entry, Run
from expproto.vocabulary import RunId
from expproto.work import CancelRun, Collecting, Execute, Obstacle, Progress, RunEnded, StageStarted

RunReport = StageStarted | Progress | Collecting | Obstacle | RunEnded
"""What is told of a run while it goes on, and at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A place that can take one run now, as the run's row names it; `boot_id` is empty where no process of this host stands for it."""

    worker: str
    pid: int = 0
    start_ticks: int = 0
    boot_id: str = ""


class Ledger(Protocol):
    """What an engine tells of its runs, and may ask of them: the pool's side."""

    async def hear(self, report: RunReport) -> None:
        """Take a report; one under a token that is not the run's present one changes nothing."""

    async def vanished(self, run: RunId, how: str) -> None:
        """Take note that what executed a run is gone: its outcome is what it left behind, or else it is lost."""

    async def is_wanted(self, run: RunId, token: str | None) -> bool:
        """Tell whether a run is still to go on under this token."""

    async def order_again(self, run: RunId) -> Execute | None:
        """Give the order of a run that may never have reached its worker; None if it has ended."""

    def wish(self, run: RunId) -> CancelRun | None:
        """Give the wish to end a run, if there is one."""

    async def is_over(self, held_as: str) -> bool:
        """Tell whether nothing of a submission waits or runs any more, or ever was in the queue."""

    def is_frozen(self, run: RunId) -> bool:
        """Tell whether a run is to stand still: of this host, others are not frozen."""

    async def settled(self, run: RunId) -> None:
        """Wait until a run whose end was told is done in the store, its result in its ref."""

    def ring(self) -> None:
        """Let the pool look again: a seat is free, or an engine is away or back."""


class Engine(Protocol):
    """Executes runs somewhere. `run` goes on for as long as the pool; nothing else is called after it was cancelled."""

    @property
    def name(self) -> str:
        """Give the word by which submissions choose it."""

    @property
    def trouble(self) -> str | None:
        """Say why nothing can be started, while nothing can."""

    def obstacle(self, run: RunId) -> str | None:
        """Say what keeps a run from going on, if something does: no worker has taken it, its result can't be had."""

    def host_of(self, run: RunId) -> str | None:
        """Give the name of the host that executes a run; None for this one, or if that is not known."""

    async def ask_hosts(self) -> Sequence[Mapping[str, object]]:
        """Ask who executes runs: `host`, `slots`, `queues`, and its `runs` with `store`, `entry` and `name`. Raises BrokerAway."""

    async def run(self) -> None:
        """Mind the runs, until cancelled."""

    def seats(self, wanted: int) -> Sequence[Seat]:
        """Give at most so many seats that are free now; sees to it that there are more soon, and rings then."""

    def start(self, seat: Seat, entry: Entry, order: Execute) -> None:
        """Have a run executed in a seat that was given just now; failing to is told as `vanished`."""

    def cancel(self, wish: CancelRun) -> None:
        """End a run and all it started; its report says so. A run that can't be reached now is told later."""

    def lives(self, run: Run) -> bool:
        """Tell of a run that an earlier daemon started whether anything can still be heard of it."""

    def adopt(self, entry: Entry) -> None:
        """Take in the run of an entry that an earlier daemon started."""

    def ended(self, entry: Entry) -> None:
        """Take note that an entry has ended which this engine did not start, or not again: what it keeps for it may go."""

    async def sweep(self, *, is_dry: bool) -> Sequence[str]:
        """Remove what nobody needs any more of all that it keeps elsewhere; gives in words what that is. Raises HubFailed."""

    async def dismiss(self, *, with_runs: bool) -> None:
        """Let go what is idle, and with its run also what is not, and wait a moment until it has gone."""
