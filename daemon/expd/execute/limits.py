"""The limits of a run, minded by its worker: they hold whether a daemon is there or not.

Promise: what is collected is never ended for a limit: what was computed is not given up. Nothing is looked at more
often than a limit's own length asks for. Where no command is under way nothing stalls: a run that waits for another's
flight does nothing for good reason. That it takes time counts.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import trio

from expd.bell import Bell
from expd.execute.confinement import Confinement
from expd.execute.freezing import Freezer
from expd.execute.runlog import RunLog
from expd.execute.timings import Timings
from expproto.limits import RunLimits
from expproto.vocabulary import Limit, OutOfMemory, TimedOut

_LOOKS = 4
"""Looks in the time of a stall limit: a stall is noticed a quarter of the limit late at most, and a look costs a millisecond."""
_MEMORY_SECONDS = 1.0
"""Between two looks at the memory, where the kernel keeps no limit: a program that fills some gigabytes in that time gets away with it."""
_IDLE_SHARE = 0.001
"""Of one processor: what waits and looks around now and then uses a hundredth of that, what reads from a slow network more."""


@dataclass(frozen=True, slots=True)
class _Signs:
    """What shows that the commands of a run do something: how long and new its log is, and what its processes used."""

    written: tuple[int, int]
    processor_seconds: float

    def is_idle_since(self, before: "_Signs", seconds: float) -> bool:
        """Tell whether nothing was done in between. Less time than before is a process that has ended, which is something."""
        used = self.processor_seconds - before.processor_seconds
        return self.written == before.written and 0 <= used <= _IDLE_SHARE * seconds


class Watch:
    """Watches a run from `begin` to `end`, while `run` goes on beside it; `reached` is told of the first limit.

    `killed` rings when the kernel may have ended something for lack of memory.
    """

    def __init__(
        self,
        limits: RunLimits,
        timings: Timings,
        confinement: Confinement,
        freezer: Freezer,
        reached: Callable[[TimedOut | OutOfMemory], None],
    ) -> None:
        self._limits = limits
        self._timings = timings
        self._confinement = confinement
        self._freezer = freezer
        self._reached = reached
        self.killed = Bell()
        self._scope = trio.CancelScope()
        self._begun = trio.Event()
        self._log: RunLog | None = None
        self._began_at = self._frozen_before = 0.0

    def begin(self, log: RunLog) -> None:
        """Start to count, unless that was done before: the first stage begins, or its data is put in place."""
        if self._begun.is_set():
            return
        self._log, self._began_at, self._frozen_before = log, trio.current_time(), self._freezer.seconds
        self._begun.set()

    def end(self) -> None:
        """Count no more: the stages are through."""
        self._scope.cancel()

    async def run(self) -> None:
        """Wait for the first limit that is reached; returns after it, or after the end."""
        with self._scope:
            await self._begun.wait()
            async with trio.open_nursery() as nursery:
                if self._limits.time_seconds is not None:
                    nursery.start_soon(self._mind_time, self._limits.time_seconds)
                if self._limits.stall_seconds is not None:
                    nursery.start_soon(self._mind_stall, self._limits.stall_seconds)
                if self._limits.memory_bytes is not None:
                    nursery.start_soon(self._mind_memory)

    async def _mind_time(self, seconds: float) -> None:
        """Wait for the end of the time, of which none passes while the run is frozen."""
        while (left := seconds - self._taken_seconds()) > 0:
            changed = self._freezer.changed.next_ring
            with trio.move_on_after(math.inf if self._freezer.is_frozen else left):
                await changed.wait()
        self._tell(Limit.TIME, seconds)

    def _taken_seconds(self) -> float:
        """Give how long the run has gone on by now, without the time in which it was frozen."""
        return trio.current_time() - self._began_at - (self._freezer.seconds - self._frozen_before)

    async def _mind_stall(self, seconds: float) -> None:
        """Look now and then: the kernel tells nobody that a process does nothing."""
        assert self._log is not None
        seen, since = await trio.to_thread.run_sync(self._look, self._log), trio.current_time()
        frozen = self._freezer.seconds
        while True:
            await trio.sleep(seconds / _LOOKS)
            now = await trio.to_thread.run_sync(self._look, self._log)
            idle = trio.current_time() - since
            was_frozen = self._freezer.seconds > frozen
            if was_frozen or not self._timings.has_commands or not now.is_idle_since(seen, idle):
                seen, since, frozen = now, trio.current_time(), self._freezer.seconds
            elif idle >= seconds:
                self._tell(Limit.STALL, seconds)
                return

    async def _mind_memory(self) -> None:
        """Look once a second, or, where the kernel keeps the limit, whenever it has done so: what is left of the run goes too."""
        evidence = "watched" if self._confinement.is_watched else "cgroup"
        while True:
            killed = self.killed.next_ring
            if await trio.to_thread.run_sync(self._is_out_of_memory):
                self._reached(self._confinement.outcome(self._timings.newest_stage, evidence))
                return
            if self._confinement.is_watched:
                await trio.sleep(_MEMORY_SECONDS)
            else:
                await killed.wait()

    def _is_out_of_memory(self) -> bool:
        return self._confinement.exceeds() if self._confinement.is_watched else self._confinement.has_killed()

    def _look(self, log: RunLog) -> _Signs:
        status = os.fstat(log.descriptor)
        taken = self._timings.usage()
        used = taken.user_seconds + taken.system_seconds + _used_by_the_living()
        return _Signs((status.st_size, status.st_mtime_ns), used)

    def _tell(self, limit: Limit, seconds: float) -> None:
        taken = round(self._taken_seconds(), 3)
        self._reached(TimedOut(limit=limit, limit_seconds=seconds, stage=self._timings.newest_stage, seconds=taken))


def _used_by_the_living() -> float:
    """Sum what the processes below us used, and those that they have waited for."""
    used = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            used += sum(process.cpu_times()[:4])  # user, system, and both of children (proc(5), fields 14 to 17)
        except psutil.Error:
            continue
    return used
