"""The part of the store that the pool is scheduled and steered by: settings, tallies, turns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from expd.queueing.changes import Changes
from expd.queueing.database import Cursor, Database
from expd.queueing.entry import Entry
from expd.queueing.freezing import freeze_runs, thaw_runs
from expd.queueing.groups import add_group, ensure_pool, read_pool, remove_group, set_jobs, set_paused
from expd.queueing.listing import Nearest, count_ahead, read_nearest, read_turns
from expd.queueing.news import News, begin_news, end_news, next_news
from expd.queueing.schedule import PoolState
from expd.queueing.transitions import wake_due
from expproto.place import DEFAULT_GROUP
from expproto.vocabulary import EntryId, RunId

_BELIEVED_SECONDS = 0.25
"""An end of a run rings several times; a store that hangs is to be noticed by whoever asks, and what changes it from outside too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The pool as it was read at a time, when there had been so many changes."""

    turns: int
    at: float
    pool: PoolState

    def holds(self, turns: int, at: float) -> bool:
        """Tell whether it would be read the same, as far as we know."""
        is_due = self.pool.next_at is not None and self.pool.next_at <= at
        return self.turns == turns and 0 <= at - self.at < _BELIEVED_SECONDS and not is_due


class PoolStore:
    """What the store knows of the pool."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changes = Changes()
        self._read: _Read | None = None

    async def pool_around(self, entry: EntryId) -> tuple[PoolState, int]:
        """Read the pool, and give what `ahead_of` does: one piece of work where a client waits for both."""
        return await self._database.run(lambda cursor: (read_pool(cursor), count_ahead(cursor, entry)))

    async def ahead_of(self, entry: EntryId) -> int:
        """Count the queued entries that may start now and come before this one; MANY where there are that many or more."""
        return await self._database.run(lambda cursor: count_ahead(cursor, entry))

    async def turns(self) -> dict[EntryId, int]:
        """Map what may start now and waits for a slot to how many of its group come before it; without those that MANY do."""
        return await self._database.run(read_turns)

    async def nearest(self, most: int) -> Nearest:
        """Read so many entries at most: what runs, what is next, what has just ended."""
        return await self._database.run(lambda cursor: read_nearest(cursor, most))

    async def queued_on(self, engine: str) -> int:
        """Count the queued entries of an engine that may start now."""
        sql = "SELECT coalesce(sum(n), 0) AS n FROM tallies WHERE standing = 'ready' AND engine = ?"
        return await self._database.run(lambda cursor: int(cursor.execute(sql, (engine,)).fetchone()["n"]))

    async def pool(self) -> PoolState:
        """Read the pool's settings and counts."""
        return await self._database.run(read_pool)

    async def wake(self, at: float) -> PoolState:
        """Let what waited for its time be claimed, if that has come; gives the pool as it is then.

        Asked again in a moment in which nothing has changed, it is what was read the last time.
        """

        def wake(cursor: Cursor) -> PoolState:
            wake_due(cursor, at)
            return read_pool(cursor)

        turns = self.changes.turns
        if self._read is None or not self._read.holds(turns, at):
            self._read = _Read(turns=turns, at=at, pool=await self._database.run(wake))
        return self._read.pool

    async def set_jobs(self, jobs: int, group: str = DEFAULT_GROUP) -> PoolState:
        """Let so many runs of a group be active at once; raises NoSuchGroup."""
        return await self._change_pool(lambda cursor: set_jobs(cursor, group, jobs))

    async def pause(self, group: str | None, *, freezes: bool, at: float) -> tuple[PoolState, list[RunId]]:
        """Stop claiming entries, of one group or of all; gives the runs that are to stand still from now on. Raises NoSuchGroup."""

        def pause(cursor: Cursor) -> tuple[PoolState, list[RunId]]:
            set_paused(cursor, group, paused=True)
            runs = freeze_runs(cursor, group, at) if freezes else []
            return read_pool(cursor), runs

        return await self._change_runs(pause)

    async def unpause(self, group: str | None) -> tuple[PoolState, list[RunId]]:
        """Go on claiming entries, of one group or of all; gives the runs that are to go on from now on. Raises NoSuchGroup."""

        def unpause(cursor: Cursor) -> tuple[PoolState, list[RunId]]:
            set_paused(cursor, group, paused=False)
            runs = thaw_runs(cursor)
            return read_pool(cursor), runs

        return await self._change_runs(unpause)

    async def add_group(self, name: str, jobs: int) -> PoolState:
        """Make a group, or give one that is there other slots."""
        return await self._change_pool(lambda cursor: add_group(cursor, name, jobs))

    async def remove_group(self, name: str) -> PoolState:
        """Take a group away; raises NoSuchGroup and GroupInUse."""
        return await self._change_pool(lambda cursor: remove_group(cursor, name))

    async def ensure_pool(self, jobs: int) -> None:
        """Make the pool and its first group on a new store."""
        await self._database.run(lambda cursor: ensure_pool(cursor, jobs))

    async def steer(self, entries: Sequence[EntryId], change: Callable[[Cursor, EntryId], Entry]) -> list[Entry]:
        """Change entries that wait by one of `queueing.steering`, all of them or none; raises WrongState."""
        steered = await self._database.run(lambda cursor: [change(cursor, entry) for entry in entries])
        self.changes.announce(*entries)
        return steered

    async def _change_runs(
        self, change: Callable[[Cursor], tuple[PoolState, list[RunId]]]
    ) -> tuple[PoolState, list[RunId]]:
        changed = await self._database.run(change)
        self.changes.announce()
        return changed

    async def _change_pool(self, change: Callable[[Cursor], PoolState]) -> PoolState:
        pool = await self._database.run(change)
        self.changes.announce()
        return pool

    async def begin_news(self) -> None:
        """Have what happens from now on told; or go on where an earlier daemon stopped."""
        await self._database.run(begin_news)

    async def end_news(self) -> None:
        """Have nothing told any more."""
        await self._database.run(end_news)

    async def next_news(self, looked_through: int) -> tuple[News | None, int]:
        """Give what is to be told next, never again; and where the next look begins."""
        return await self._database.run(lambda cursor: next_news(cursor, looked_through))
