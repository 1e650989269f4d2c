"""Processes as Linux knows them: who one is for certain, what belongs to its tree, and how to end all of it.

A pid alone says nothing: pids are used again. A process is known by boot id, pid and start time (proc(5), field 22
of stat), and whatever a run started by the token in its environment.
"""

import ctypes
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil
import trio

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_KILL_ROUNDS_MAX = 100
"""Rounds against a tree that forks while it is killed."""
_LOOK_SECONDS = 1.0
"""Without a find: where others start and end processes all the time, in every listing somebody has just vanished."""
_KILL_SECONDS = 1.0
"""For the kernel to end what was killed: it is done in milliseconds unless a process waits for a disk."""

TOKEN_VARIABLE = "EXPD_RUN_TOKEN"  # noqa: S105 - the name of the variable, not its value
"""In the environment of everything a run starts."""
WORKER_TOKEN_VARIABLE = "EXPD_WORKER_TOKEN"  # noqa: S105 - the name of the variable, not its value
"""In the environment of a worker: what it registers with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """One process of one boot; equal identities are the same process."""

    boot_id: str
    pid: int
    start_ticks: int

    def is_alive(self) -> bool:
        """Tell whether this very process exists and is no zombie."""
        return self.boot_id == boot_id() and _start_ticks(self.pid) == self.start_ticks

    def kill(self) -> None:
        """Kill this very process, if it lives."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.is_alive():
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)

    async def wait_gone(self) -> None:
        """Wait until this process has ended; it need not be our child."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.is_alive():
                await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)


def boot_id() -> str:
    """Give the kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identity_of(pid: int) -> ProcessIdentity | None:
    """Identify a living process; None if there is none."""
    ticks = _start_ticks(pid)
    return None if ticks is None else ProcessIdentity(boot_id=boot_id(), pid=pid, start_ticks=ticks)


def _start_ticks(pid: int) -> int | None:
    """Read field 22 of /proc/PID/stat; the command in field 2 may hold spaces and parentheses."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def become_subreaper() -> None:
    """Adopt orphans below us (prctl(2)): what leaves its group or session stays in our tree."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants() -> list[psutil.Process]:
    """List every living process below this one, children of adopted orphans among them."""
    try:
        found = psutil.Process().children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in found if _is_living(process)]


def processes_with_token(token: str) -> list[psutil.Process]:
    """Find what a run started, wherever it went: every process of ours whose environment holds its token."""
    return _look_for(token)[0]


def _look_for(token: str) -> tuple[list[psutil.Process], set[int]]:
    """Find a run's processes; and give the pids that told nothing: what has just ended may have left another behind.

    Threads of the kernel and zombies that nobody collects tell nothing either, each time.
    """
    found, silent = list[psutil.Process](), set[int]()
    for pid in psutil.pids():
        try:
            process = psutil.Process(pid)
            if process.uids().real != os.getuid():
                continue
            environment = process.environ()
            if environment.get(TOKEN_VARIABLE) == token:
                found.append(process)
            elif not environment:
                silent.add(pid)
        except psutil.NoSuchProcess:
            silent.add(pid)
        except (psutil.Error, OSError):
            continue
    return [process for process in found if _is_living(process)], silent


def kill_token(token: str) -> None:
    """Kill whatever a run started, wherever it went, until nothing of it lives; blocks."""
    known, enough_at = set[int](), time.monotonic() + _LOOK_SECONDS
    for _round in range(_KILL_ROUNDS_MAX):
        found, silent = _look_for(token)
        if not found and (silent <= known or time.monotonic() > enough_at):
            return
        known |= silent
        if found:
            signal_all(found, signal.SIGKILL)
            psutil.wait_procs(found, timeout=_KILL_SECONDS)
            enough_at = time.monotonic() + _LOOK_SECONDS


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Signal each process; psutil checks the start time, so a pid used again is left alone."""
    for process in processes:
        try:
            process.send_signal(number)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def stop_tree() -> None:
    """Stop every process below this one where it is, until none is left that runs; blocks."""
    for _round in range(_KILL_ROUNDS_MAX):
        running = [process for process in descendants() if _status(process) != psutil.STATUS_STOPPED]
        if not running:
            return
        signal_all(running, signal.SIGSTOP)


def let_tree_go() -> None:
    """Let every process below this one go on."""
    signal_all(descendants(), signal.SIGCONT)


def reap_orphans() -> None:
    """Collect adopted orphans that have ended, so that no zombie stays.

    They are told by their session: it is not ours, and they do not lead it. What we start ourselves, and wait for, is in
    our session or leads its own; an orphan that leads one is not told from that, and stays until we end.
    """
    own = os.getsid(0)
    for process in psutil.Process().children():
        try:
            session = os.getsid(process.pid)
            if session not in {own, process.pid}:
                os.waitpid(process.pid, os.WNOHANG)
        except (ProcessLookupError, ChildProcessError):
            continue


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.Error:
        return psutil.STATUS_STOPPED  # there is nothing to stop any more


def _is_living(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
