"""One command of a run as a process group of its own, output straight into the run log, and the end of all it started.

The worker is a subreaper: what leaves its group or session stays below it in the tree. Ending is SIGINT, grace,
SIGTERM, grace, SIGKILL, to the whole tree, until nothing is left.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import trio

from expd.linux.processes import descendants, reap_orphans, signal_all

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
        if not living:
            break
        signal_all(living, signal.SIGKILL)
        await _all_gone(living)
        living = descendants()
    reap_orphans()
    return count


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
