"""A machine in virtual time: its disk, its processes, its wall clock, and what clients of its daemons were told.

What must hold of processes is checked where they begin: nothing of an entry runs beside another run of it.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from expd.bell import Bell
from expd.linux.processes import ProcessIdentity
from expproto.vocabulary import EntryId, Rev, RunId
from expproto.work import Execute
from helpers.simulation.disk import Disk

if TYPE_CHECKING:
    from helpers.simulation.lives import Life
    from helpers.simulation.workers import SimulatedWorker


class NobodyListens(Exception):
    """There is no daemon at the socket."""


@dataclass
class World:
    """Everything that outlives a daemon."""

    seed: int
    directory: Path
    baseline: Rev
    results: Sequence[Rev]
    """Commits that runs may make."""
    nursery: trio.Nursery
    started: float = field(default_factory=trio.current_time)
    disk: Disk = field(init=False)
    story: list[str] = field(default_factory=list)
    life: "Life | None" = None
    lives: int = 0
    is_over: bool = False
    changed: Bell = field(default_factory=Bell)
    """Rings when a daemon listens, and when one has ended."""
    descriptors: list[int] = field(default_factory=list)
    """What the daemon keeps open until it has ended."""
    boot: int = 1
    epoch: float = field(default_factory=time.time)
    """The wall time at the beginning: files have real ones."""
    clock_offset: float = 0.0
    can_fork: bool = True
    workers: dict[int, "SimulatedWorker"] = field(default_factory=dict)
    commands: dict[str, EntryId] = field(default_factory=dict)
    """What lives of the commands of runs: run token → entry."""
    begun: set[RunId] = field(default_factory=set)
    """Runs whose commands were started."""
    acknowledged: dict[str, list[EntryId]] = field(default_factory=dict)
    """Request id → entries, as the client was told."""
    removed: set[EntryId] = field(default_factory=set)
    """What somebody has asked to remove: it may be gone."""
    cancelled: set[EntryId] = field(default_factory=set)
    logs: dict[tuple[EntryId, int], Path] = field(default_factory=dict)
    """Entry and attempt → the log of that run."""

    def __post_init__(self) -> None:
        self.disk = Disk(rng=self.chance("disk"), crash=self.crash)
        self.runs_directory.mkdir(parents=True)

    @property
    def project(self) -> Path:
        """The repository that is submitted from."""
        return self.directory / "project"

    @property
    def runs_directory(self) -> Path:
        """Logs and outcome records."""
        return self.directory / "state" / "runs"

    def chance(self, what: str) -> random.Random:
        """Give dice of one's own: what others draw changes nothing for you."""
        return random.Random(f"{self.seed}/{what}")

    def now(self) -> float:
        """Give the wall time, which may jump."""
        return self.epoch + trio.current_time() + self.clock_offset

    def note(self, what: str) -> None:
        """Write down what happened."""
        self.story.append(f"{trio.current_time() - self.started:10.3f} {what}")

    def crash(self) -> None:
        """Kill the daemon, if there is one."""
        if self.life is not None:
            self.note("the daemon is killed")
            self.life.kill()

    @property
    def is_listening(self) -> bool:
        """Tell whether a daemon could be connected to."""
        return self.life is not None and self.life.is_listening

    async def wait_listening(self) -> None:
        """Wait until a daemon listens."""
        while not self.is_listening:
            await self.changed.next_ring.wait()

    def connect(self) -> trio.SocketStream:
        """Connect to the daemon; raises NobodyListens."""
        if self.life is None or not self.life.is_listening:
            raise NobodyListens
        return self.life.connect()

    def write(self, path: str, data: bytes) -> None:
        """Append to a file; it is in memory, and takes no time."""
        with Path(path).open("ab") as file:
            file.write(data)

    # --- processes

    @property
    def boot_id(self) -> str:
        """Name this run of the machine."""
        return f"boot {self.boot}"

    def identity(self, pid: int) -> ProcessIdentity:
        """Give the identity of a process that starts now."""
        ticks = int(100 * (trio.current_time() - self.started))
        return ProcessIdentity(boot_id=self.boot_id, pid=pid, start_ticks=ticks)

    def free_pid(self) -> int:
        """Choose a pid: one that was used before, if it is free, is as good as any."""
        return next(pid for pid in range(2, 10_000) if pid not in self.workers)

    def begin(self, order: Execute) -> None:
        """A worker starts the commands of a run: nothing else of the entry may live, and no run begins twice."""
        assert order.entry not in self.commands.values(), f"entry {order.entry} runs twice at once (run {order.run})"
        assert order.run not in self.begun, f"run {order.run} was begun twice"
        self.commands[order.run_token] = order.entry
        self.begun.add(order.run)
        self.logs[order.entry, order.attempt] = Path(order.log)

    def end(self, token: str) -> None:
        """The commands of a run are over."""
        self.commands.pop(token, None)
