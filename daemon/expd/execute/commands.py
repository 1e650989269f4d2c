"""One command of a run as a process group of its own, output straight into the run log, and the end of all it started.

The worker is a subreaper: what leaves its group or session stays below it in the tree. Ending is SIGINT, grace,
SIGTERM, grace, SIGKILL, to the whole tree, until nothing is left.
"""

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import psutil
import trio

from expd.execute.freezing import Freezer
from expd.linux.processes import descendants, signal_all
from expd.linux.sacrifice import sacrificed_first

_KILL_ROUNDS_MAX = 50
"""Rounds of SIGKILL against a tree that forks while it dies; each round kills all that exist."""


class Accounts(Protocol):
    """Who is told which process was started, and what each took that has ended."""

    def started(self, pid: int) -> None:
        """A process was started."""

    def reaped(self, pid: int, usage: resource.struct_rusage) -> None:
        """A process has ended: this one, or one that it left to us."""


class StartFailed(OSError):
    """A command could not be started: the system's words, and of what they are; `stage` once it is known."""

    def __init__(self, error: OSError, program: str, cwd: Path) -> None:
        self.is_directory = error.filename is not None and os.fspath(error.filename) == str(cwd)
        self.path = str(cwd) if self.is_directory else program
        self.stage = ""
        super().__init__(error.errno or 0, error.strerror, self.path)


async def run_command(
    argv: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    log: int,
    freezer: Freezer,
    *,
    accounts: Accounts | None = None,
) -> int:
    """Run one command to its end and give its return code, negative for a signal; raises StartFailed."""
    async with freezer.starting():
        process = await trio.to_thread.run_sync(lambda: _start(argv, cwd, environment, log))
    if accounts is not None:
        accounts.started(process.pid)
    try:
        await _gone(process.pid)
        _pid, status, usage = os.wait4(process.pid, 0)  # noqa: ASYNC222 - it has ended
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process.returncode is None:  # cancelled: `end_tree` collects it, and subprocess must not
            process.returncode = -signal.SIGKILL
    if accounts is not None:
        accounts.reaped(process.pid, usage)
    return process.returncode


def _start(argv: Sequence[str], cwd: Path, environment: Mapping[str, str], log: int) -> subprocess.Popen[bytes]:
    """Start a command; blocks until it has been loaded."""
    try:
        with sacrificed_first():
            return subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd, env=environment, process_group=0
            )
    except OSError as error:
        raise StartFailed(error, argv[0], cwd) from error


INTERRUPTED = (signal.SIGINT, signal.SIGTERM)
"""What a run that is cancelled gets, in this order, before SIGKILL."""
LEFT_BEHIND = (signal.SIGTERM,)
"""What processes get that outlive their run: a shell's background jobs ignore SIGINT anyway (sh(1))."""


Reaped = Callable[[int, resource.struct_rusage], None]


def _uncounted(_pid: int, _usage: resource.struct_rusage) -> None:
    """Count nothing."""


async def end_tree(signals: Sequence[signal.Signals], grace_seconds: float, reaped: Reaped = _uncounted) -> int:
    """End every process below this one: each signal with a grace after it, then SIGKILL. Gives how many there were.

    `reaped` is told of each child that is collected, those among them that had ended before.
    """
    if not _reap(reaped):  # nobody below us at all, by the kernel's word: no need to look through all processes
        return 0
    living = descendants()
    count = len(living)
    for number in signals:
        if not living:
            break
        signal_all(living, number)
        with trio.move_on_after(grace_seconds):
            await wait_all_gone(living)
        living = descendants()
    for _round in range(_KILL_ROUNDS_MAX):
        _kill_groups()
        signal_all(living, signal.SIGKILL)
        await wait_all_gone(living)
        if not _reap(reaped):
            break
        living = descendants()
    return count


def _kill_groups() -> None:
    """Kill the process groups of our tree, each at once: a process that forks and ends is in no list for long enough.

    The dead count too: a zombie we have not collected keeps the number of its group from being used again.
    """
    mine = os.getpgrp()
    groups = set[int]()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(ProcessLookupError):
            groups.add(os.getpgid(process.pid))
    for group in groups - {mine}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _reap(reaped: Reaped) -> bool:
    """Collect children that have ended, so that no zombie stays; tells whether one still lives, by the kernel's word."""
    while True:
        try:
            pid, _status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        reaped(pid, usage)


async def wait_all_gone(processes: Sequence[psutil.Process]) -> None:
    """Wait until each of these has ended: a pidfd becomes readable then, also for what is not our child."""
    async with trio.open_nursery() as nursery:
        for process in processes:
            nursery.start_soon(_gone, process.pid)


async def _gone(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)
