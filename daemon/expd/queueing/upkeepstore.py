"""The part of the store that recovery, retention and the doctor ask: what it holds in repositories and files."""

from collections.abc import Sequence
from pathlib import Path

from expd.queueing.database import backup_of
from expd.queueing.keeping import KeptEntry, check_store, read_kept
from expd.queueing.poolstore import PoolStore
from expd.queueing.retention import (
    EndedRun,
    Item,
    read_copies,
    read_done,
    read_ended_runs,
    read_environments,
    read_not_gone_on,
    wipe_environment,
)
from expproto.vocabulary import RunId


class UpkeepStore(PoolStore):
    """What the store knows of what there is beside it."""

    async def repositories(self) -> list[str]:
        """List the common Git directories that submissions came from, also those of which none is left."""
        sql = "SELECT git_directory FROM repositories ORDER BY git_directory"
        return await self._database.run(lambda cursor: [str(row["git_directory"]) for row in cursor.execute(sql)])

    async def all_held_as(self) -> set[str]:
        """List the refs of all submissions."""
        sql = "SELECT held_as FROM submissions"
        return await self._database.run(lambda cursor: {str(row["held_as"]) for row in cursor.execute(sql)})

    async def kept(self, git_directory: str | None = None) -> list[KeptEntry]:
        """Read what holds the entries of a repository; with None those of all submissions of which something waits."""
        return await self._database.run(lambda cursor: read_kept(cursor, git_directory))

    async def runs(self) -> dict[RunId, bool]:
        """Map all runs that the store knows to whether they have ended."""
        sql = "SELECT id, ended_at IS NOT NULL AS over FROM runs"
        return await self._database.run(
            lambda cursor: {RunId(row["id"]): bool(row["over"]) for row in cursor.execute(sql)}
        )

    async def done_everywhere(self) -> list[Item]:
        """List entries that are done and may be given up: when each ended."""
        return await self._database.run(read_done)

    async def ended_runs(self) -> list[EndedRun]:
        """List the runs of entries that are done."""
        return await self._database.run(read_ended_runs)

    async def not_gone_on(self, git_directory: str, runs: Sequence[RunId]) -> list[RunId]:
        """Give those of a repository's runs in whose worktree no entry is to go on."""
        return await self._database.run(lambda cursor: read_not_gone_on(cursor, git_directory, runs))

    async def environments(self) -> list[Item]:
        """List the environments that nothing waits for, by submission."""
        return await self._database.run(read_environments)

    async def wipe_environment(self, submission: int) -> None:
        """Forget the environment of a submission, unless something of it waits or runs again."""
        await self._database.run(lambda cursor: wipe_environment(cursor, submission))

    async def copies(self, git_directory: str) -> set[str]:
        """List the hashes of what entries of a repository were submitted with by -C."""
        return await self._database.run(lambda cursor: read_copies(cursor, git_directory))

    async def last_run(self) -> int:
        """Give the newest run there ever was in this store; 0 before the first."""
        sql = "SELECT coalesce(max(seq), 0) AS last FROM sqlite_sequence WHERE name = 'runs'"
        return await self._database.run(lambda cursor: int(cursor.execute(sql).fetchone()["last"]))

    async def back_up(self) -> None:
        """Write a copy of the store, without environments, beside it; raises StoreFailed or OSError."""
        await self._database.back_up()

    async def check(self) -> list[str]:
        """Look through the whole file; gives what is wrong with it."""
        return await self._database.run(check_store)

    @property
    def backup(self) -> Path:
        """Give the place of that copy."""
        return backup_of(self._database.path)
