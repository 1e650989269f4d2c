"""What a run's commands are is stopped where it is, and let go on later (`expctl pause --freeze`).

With a control group the kernel stops all of it at once; else each process of the tree gets SIGSTOP, until none is left that
runs. Nothing is started meanwhile. What the worker does itself, preparing and collecting, goes on up to the next command.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from expd.bell import Bell
from expd.linux.cgroups import freeze_group, thaw_group
from expd.linux.processes import let_tree_go, stop_tree


class Freezer:
    """One run's: `want` says how it is to be, `run` sees to it; `changed` rings whenever it is so."""

    def __init__(self) -> None:
        self.changed = Bell()
        self.is_frozen = False
        self._is_wanted = self._is_over = False
        self._wish = Bell()
        self._starting = trio.Semaphore(1)
        self._group: Path | None = None
        self._has_group = False
        self._since, self._before = 0.0, 0.0

    @property
    def seconds(self) -> float:
        """Give how long the run has been frozen by now."""
        return self._before + (trio.current_time() - self._since if self.is_frozen else 0.0)

    @property
    def is_wanted(self) -> bool:
        """Tell whether it is frozen, or will be in a moment."""
        return self._is_wanted

    def want(self, *, frozen: bool) -> None:
        """Let the run be frozen, or go on; once it is over, nothing is frozen any more."""
        self._is_wanted = frozen and not self._is_over
        self._wish.ring()

    @asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Start something inside, when nothing is frozen."""
        async with self._starting:
            yield

    async def run(self, group: Path | None, tell: Callable[[str], None]) -> None:
        """Do as is wanted, until cancelled; `group` is the run's, and `tell` hears of each change."""
        self._group = group
        while True:
            wish = self._wish.next_ring
            if self._is_wanted == self.is_frozen:
                await wish.wait()
            elif self._is_wanted:
                await self._freeze()
                tell("expd: frozen")
            else:
                await self._thaw()
                tell(f"expd: goes on, after {self.seconds:.0f} s frozen in all")

    async def end(self) -> None:
        """Let the run go on for its end; returns when it does."""
        self._is_over = True
        self.want(frozen=False)
        while self.is_frozen:
            changed = self.changed.next_ring
            if self.is_frozen:
                await changed.wait()

    async def _freeze(self) -> None:
        await self._starting.acquire()
        self.note_change(frozen=True)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._stop)

    async def _thaw(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._let_go)
        self.note_change(frozen=False)
        self._starting.release()

    def note_change(self, *, frozen: bool) -> None:
        """Take down that the run stands still from now on, or goes on."""
        self._before, self._since = self.seconds, trio.current_time()
        self.is_frozen = frozen
        self.changed.ring()

    def _stop(self) -> None:
        self._has_group = self._group is not None and freeze_group(self._group)
        if not self._has_group:
            stop_tree()

    def _let_go(self) -> None:
        if self._has_group and self._group is not None:
            thaw_group(self._group)
        else:
            let_tree_go()
