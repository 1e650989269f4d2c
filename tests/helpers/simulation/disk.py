"""The store of a simulation: the real schema and the real SQL, in virtual time, with delays, failures and crashes between.

Each piece of work is one transaction in the order of asking, as in the thread of the real store; what a crash leaves is
what was committed. After each commit the rows are compared with those before: what must never change did not.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

import trio

from expd.queueing.database import Cursor, Database, StoreFailed, open_connection

T = TypeVar("T")

_PIECES_MAX = 1000
_RANKS = {state: rank for rank, state in enumerate(("queued", "preparing", "running", "collecting", "done"))} | {
    "held": 0
}
_QUICK_SECONDS = 0.002


@dataclass
class Disk:
    """What the disk does to those who write; set by whoever makes trouble."""

    rng: Random
    slow_seconds: float = 0.0
    """Up to how long a commit takes, and its answer."""
    is_failing: bool = False
    """Each transaction that writes is refused, as on a full disk."""
    crash: Callable[[], None] = lambda: None
    crash_in_commits: int | None = None
    """The daemon is killed at the commit this many commits from now; a negative number kills right after it."""
    attempts: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Entry → its attempt and how far that is: neither ever goes back."""
    ends: dict[int, str] = field(default_factory=dict)
    """Run → its outcome: written once."""
    jobs_max: dict[str, int] = field(default_factory=dict)
    """Group → most slots that it ever had."""

    def delay_seconds(self) -> float:
        """Draw how long the next step takes."""
        return self.rng.uniform(0, max(self.slow_seconds, _QUICK_SECONDS))

    def check(self, connection: Cursor) -> None:
        """Compare what is committed with what was."""
        for row in connection.execute("SELECT id, attempt, state, outcome_kind FROM entries"):
            now = (int(row["attempt"]), _RANKS[row["state"]])
            before = self.attempts.get(row["id"], now)
            assert now >= before, f"entry {row['id']} went back from {before} to {now}"
            self.attempts[row["id"]] = now
        for row in connection.execute("SELECT id, outcome FROM runs WHERE outcome IS NOT NULL"):
            assert self.ends.setdefault(row["id"], row["outcome"]) == row["outcome"], f"run {row['id']} ended twice"
        for row in connection.execute("SELECT name, jobs FROM groups"):
            self.jobs_max[row["name"]] = max(self.jobs_max.get(row["name"], 0), int(row["jobs"]))
        active = """SELECT grp, count(*) AS n FROM entries WHERE mode = 'queue' AND at_once = 0
            AND state IN ('preparing', 'running', 'collecting') GROUP BY grp"""
        for row in connection.execute(active):
            assert row["n"] <= self.jobs_max[row["grp"]], f"more runs than slots in group {row['grp']}"

    def outcome_of(self, run: int) -> str | None:
        """Give the kind of a run's outcome, if it has ended."""
        found = self.ends.get(run)
        return None if found is None else str(json.loads(found)["kind"])


@dataclass(eq=False)
class _Piece:
    carry_out: Callable[[Cursor], None]
    done: trio.Event = field(default_factory=trio.Event)
    error: Exception | None = None


class SimulatedDatabase(Database):
    """`serve` carries out what `run` is asked for, until it is killed."""

    def __init__(self, path: Path, disk: Disk) -> None:
        super().__init__(path)
        self._file = path
        self._disk = disk
        self._asking, self._asked = trio.open_memory_channel[_Piece](_PIECES_MAX)
        self._waiting: set[_Piece] = set()
        self._is_dead = False

    def open(self) -> None:
        """Open the file as the real one does."""
        self._connection = open_connection(self._file)
        self._connection.execute("PRAGMA synchronous=OFF")  # what a power cut leaves is tried on real file systems

    def close(self) -> None:
        """Close the file."""
        self.die()
        self._connection.close()

    def die(self) -> None:
        """Nothing that is not committed by now ever will be, and nobody is told anything true any more."""
        self._is_dead = True
        for piece in self._waiting:
            piece.error = StoreFailed("the daemon is dead")
            piece.done.set()

    async def run(self, work: Callable[[Cursor], T], *, is_passing: bool = False) -> T:  # noqa: ARG002 - no power is cut here
        """Carry out one piece of work; one that its caller no longer waits for is carried out all the same."""
        if self._is_dead:
            await trio.lowlevel.checkpoint_if_cancelled()
            raise StoreFailed("the daemon is dead")
        results: list[T] = []
        piece = _Piece(carry_out=lambda cursor: results.append(work(cursor)))
        self._waiting.add(piece)
        self._asking.send_nowait(piece)
        await piece.done.wait()
        await trio.lowlevel.checkpoint_if_cancelled()  # unless it is shielded, whoever asks is dead too
        if piece.error is not None:
            raise piece.error
        return results[0]

    async def serve(self) -> None:
        """Take the pieces one after the other; being cancelled is being killed."""
        async for piece in self._asked:
            await trio.sleep(self._disk.delay_seconds())
            await self._crash_here(before=True)
            before = self._connection.total_changes
            self._commit(piece)
            if piece.error is None and self._connection.total_changes != before:
                self._disk.check(self._connection)
                await self._crash_here(before=False)
            await trio.sleep(self._disk.delay_seconds())
            self._waiting.discard(piece)
            piece.done.set()

    def _commit(self, piece: _Piece) -> None:
        before = self._connection.total_changes
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            piece.carry_out(self._connection)
            self._refuse_if_full(before)
        except Exception as error:  # noqa: BLE001 - it belongs to who asked, as in the real store
            self._connection.execute("ROLLBACK")
            piece.error = error
        else:
            self._connection.execute("COMMIT")

    def _refuse_if_full(self, changes_before: int) -> None:
        if self._disk.is_failing and self._connection.total_changes != changes_before:
            raise StoreFailed("database or disk is full")

    async def _crash_here(self, *, before: bool) -> None:
        """Be killed here if this is the place: before the transaction, or after it and before anybody knows."""
        left = self._disk.crash_in_commits
        if left is None:
            return
        if before and left > 0:
            self._disk.crash_in_commits = left - 1 or None
            is_here = left == 1
        elif not before and left < 0:
            self._disk.crash_in_commits = left + 1 or None
            is_here = left == -1
        else:
            return
        if is_here:
            self._disk.crash()
            await trio.lowlevel.checkpoint()
