"""Where the Python processes of a run hang: their stacks in its log, before it is ended. Needs nothing of the project.

Python's faulthandler, switched on by PYTHONFAULTHANDLER, writes the stacks of all threads at SIGABRT, and then hands the
signal on to whoever had it before. That is nobody: commands are started with SIGABRT ignored, so that a process writes
its stacks and goes on, and SIGINT still finds it able to save a checkpoint. abort(3) ends a process all the same.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

from expd.execute.commands import wait_all_gone
from expd.linux.processes import descendants, signal_all

FAULTHANDLER_VARIABLE = "PYTHONFAULTHANDLER"
_WRITING_SECONDS = 0.2
"""For the stacks of a few hundred threads: what comes next may end a process in the middle of a line."""
_ABRT_BIT = 1 << (signal.SIGABRT - 1)


@contextmanager
def abort_passed_over() -> Iterator[None]:
    """Start commands with SIGABRT ignored while inside: they inherit it. Needs the main thread."""
    before = signal.signal(signal.SIGABRT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGABRT, before)


async def ask_for_stacks() -> int:
    """Have every Python process below us write its stacks; gives how many were asked."""
    asked = [process for process in descendants() if _is_python(process.pid) and _heeds_abort(process.pid)]
    if asked:
        signal_all(asked, signal.SIGABRT)
        with trio.move_on_after(_WRITING_SECONDS):
            await wait_all_gone(asked)
    return len(asked)


def _is_python(pid: int) -> bool:
    """Tell whether a process is a Python interpreter, or has one inside."""
    with suppress(OSError):
        program = Path(f"/proc/{pid}/exe").readlink().name
        return program.startswith(("python", "pypy")) or b"libpython" in Path(f"/proc/{pid}/maps").read_bytes()
    return False


def _heeds_abort(pid: int) -> bool:
    """Tell whether a process handles SIGABRT (proc(5), SigCgt): one that does not would die of it, or not notice."""
    with suppress(OSError):
        for line in os.fsencode(Path(f"/proc/{pid}/status").read_text(errors="replace")).splitlines():
            if line.startswith(b"SigCgt:"):
                return bool(int(line.split()[1], 16) & _ABRT_BIT)
    return False
