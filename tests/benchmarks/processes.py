"""What Linux tells of the processes of our side: time on a processor, memory, how often they woke."""

import json
import os
import select
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.arena import Arena

_TICKS = os.sysconf("SC_CLK_TCK")


def daemon_of(arena: Arena) -> int:
    """Give the process of the daemon, which is started if it is not there."""
    arena.run(["expctl", "daemon", "start"], arena.ours)
    return int(json.loads(arena.ask(["expctl", "daemon", "status", "--json"], arena.ours))["pid"])


def family_of(pid: int) -> list[int]:
    """Give a process and its children, and theirs."""
    children = [int(word) for thread in _threads(pid) for word in (thread / "children").read_text().split()]
    return [pid, *(member for child in children for member in family_of(child))]


def processor_seconds(pids: Iterable[int]) -> float:
    """Give the time that processes have spent, with that of the children they have waited for."""
    return sum(sum(map(int, _stat(pid)[11:15])) for pid in pids) / _TICKS


def memory_bytes(pid: int) -> int:
    """Give the resident memory of a process, libraries and all."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def waits(pid: int) -> Mapping[str, int]:
    """Give how often each thread of a process has waited, by its number; waits tell of wakes."""
    return {thread.name: _waits_of(thread) for thread in _threads(pid)}


def wakes_between(before: Mapping[str, int], after: Mapping[str, int]) -> int:
    """Give how often the threads of a process woke; one that ended meanwhile woke for it, once at least."""
    return sum(count - before.get(thread, 0) for thread, count in after.items()) + len(before.keys() - after.keys())


def _waits_of(thread: Path) -> int:
    lines = (thread / "status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


def kill(pid: int) -> None:
    """Kill a process and wait until it is gone."""
    descriptor = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


def _threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").glob("[0-9]*"))


def _stat(pid: int) -> list[str]:
    """Give the fields of proc(5) after the name, which may hold anything; the first is the third there."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
