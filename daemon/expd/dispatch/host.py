"""What the pool asks of the machine it is on: workers, which of them live, the wall clock, and tokens nobody can guess.

A seam: behind it stands this machine, or one that a test makes up, with a day of crashes in a second of virtual time.
"""

import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from expd.linux.cgroups import GROUP_VARIABLE, kill_run_group
from expd.linux.processes import WORKER_TOKEN_VARIABLE, ProcessIdentity, boot_id, kill_token, reap_orphans
from expd.linux.scopes import kill_scope
from expd.linux.space import Place, first_shortage
from expd.linux.systemd import forget
from expd.linux.threads import in_thread, no_thread


class Child(Protocol):
    """A process that we have started."""

    async def wait(self) -> int:
        """Wait for its end; gives its exit code, or minus the signal that ended it."""


class Host(Protocol):
    """The machine of a pool."""

    @property
    def worker_log(self) -> Path:
        """Give the file that workers write their remarks to."""

    def now(self) -> float:
        """Give the wall time, in seconds since 1970: for people and the disk; how long something took is trio's clock."""

    def new_token(self) -> str:
        """Make a token that nobody can guess: 32 hexadecimal digits."""

    def boot_id(self) -> str:
        """Name this run of the machine: another one has no process of it."""

    def is_alive(self, worker: ProcessIdentity) -> bool:
        """Tell whether this very process exists."""

    async def wait_gone(self, worker: ProcessIdentity) -> None:
        """Wait until a process has ended that need not be our child."""

    def end_worker(self, worker: ProcessIdentity) -> None:
        """Kill a worker that can't be told anything."""

    async def start_worker(self, token: str) -> Child:
        """Start a worker that comes back over the socket; raises OSError."""

    async def kill_run(self, token: str) -> None:
        """Kill whatever a run started, wherever it went, until nothing of it lives."""

    async def shortage(self, places: tuple[Place, ...]) -> str | None:
        """Say what the first of these places lacks that has too little room; None if none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalHost:
    """This machine; workers come back to `socket_path`."""

    socket_path: Path
    worker_log: Path
    delegated: Path | None = None
    """The control group that systemd gave us for our runs, where it did."""

    def now(self) -> float:
        """Give the wall time."""
        return time.time()

    def new_token(self) -> str:
        """Make a token of 128 random bits."""
        return secrets.token_hex(16)

    def boot_id(self) -> str:
        """Ask the kernel."""
        return boot_id()

    def is_alive(self, worker: ProcessIdentity) -> bool:
        """Ask the kernel."""
        return worker.is_alive()

    async def wait_gone(self, worker: ProcessIdentity) -> None:
        """Wait on a pidfd."""
        await worker.wait_gone()

    def end_worker(self, worker: ProcessIdentity) -> None:
        """Send SIGKILL to this very process."""
        worker.kill()

    async def start_worker(self, token: str) -> trio.Process:
        """Start a worker process in a session of its own, its remarks in a file."""
        environment = {**os.environ, WORKER_TOKEN_VARIABLE: token}
        forget(environment)  # it is no service of its own
        if self.delegated is not None:
            environment[GROUP_VARIABLE] = str(self.delegated)
        descriptor = os.open(self.worker_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            return await trio.lowlevel.open_process(
                [sys.executable, "-m", "expd.execute", str(self.socket_path)],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        except RuntimeError as error:
            raise no_thread(error) or error from error
        finally:
            os.close(descriptor)

    async def kill_run(self, token: str) -> None:
        """Kill its control groups, if it has any, and whatever has its token in its environment; in a thread.

        What had lost its parent is ours since then, and collected.
        """
        delegated = self.delegated
        if delegated is not None:
            await in_thread(lambda: kill_run_group(delegated, token))
        await in_thread(lambda: kill_scope(token))
        await in_thread(lambda: kill_token(token))
        await in_thread(reap_orphans)

    async def shortage(self, places: tuple[Place, ...]) -> str | None:
        """Ask the file systems, in a thread: one that is on a network may not answer for long."""
        return await in_thread(lambda: first_shortage(places))
