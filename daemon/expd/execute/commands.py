"""One command of a run as a process group of its own, output straight into the run log, and the end of all it started.

The worker is a subreaper: what leaves its group or session stays below it in the tree. Ending is SIGINT, grace,
SIGTERM, grace, SIGKILL, to the whole tree, until nothing is left.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import trio

from expd.linux.processes import descendants, signal_all

_KILL_ROUNDS_MAX = 50
"""Rounds of SIGKILL against a tree that forks while it dies; each round kills all that exist."""


async def run_command(argv: Sequence[str], cwd: Path, environment: Mapping[str, str], log: int) -> int:
    """Run one command to its end and give its return code, negative for a signal; raises OSError if it can't start."""
    process = await trio.lowlevel.open_process(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=cwd,
        env=environment,
        process_group=0,
    )
    return await process.wait()


INTERRUPTED = (signal.SIGINT, signal.SIGTERM)
"""What a run that is cancelled gets, in this order, before SIGKILL."""
LEFT_BEHIND = (signal.SIGTERM,)
"""What processes get that outlive their run: a shell's background jobs ignore SIGINT anyway (sh(1))."""


async def end_tree(signals: Sequence[signal.Signals], grace_seconds: float) -> int:
    """End every process below this one: each signal with a grace after it, then SIGKILL. Gives how many there were."""
    living = descendants()
    count = len(living)
    for number in signals:
        if not living:
            break
        signal_all(living, number)
        with trio.move_on_after(grace_seconds):
            await _all_gone(living)
        living = descendants()
    for _round in range(_KILL_ROUNDS_MAX):
        _kill_groups()
        signal_all(living, signal.SIGKILL)
        await _all_gone(living)
        if not _reap():
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


def _reap() -> bool:
    """Collect children that have ended, so that no zombie stays; tells whether one still lives, by the kernel's word."""
    while True:
        try:
            pid, _status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


async def _all_gone(processes: Sequence[psutil.Process]) -> None:
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
