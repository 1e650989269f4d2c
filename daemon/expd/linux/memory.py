"""What the kernel says about processes that it ended for lack of memory: counters before and after, and its log.

Promise: evidence or nothing. A counter that can't be read has not risen, and a line of the log counts for a process it
names. A process ended by SIGKILL alone is no evidence: anybody may send one.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from expd.linux.mounts import own_groups

_FIRST_PID_NAMESPACE = "pid:[4026531836]"
"""PROC_PID_INIT_INO of the kernel: in any other namespace the log's pids are not ours."""
_LOG_RECORD_BYTES = 8192
"""The longest record of /dev/kmsg (CONSOLE_EXT_LOG_MAX)."""
_LOG_RECORDS_MAX = 10_000
"""Records of the log that are looked at: a whole ring buffer of them."""
_KILLED = re.compile(rb"Killed process (\d+) ")
_COUNTERS = {"cgroup2": "memory.events", "cgroup": "memory.oom_control"}
"""Where each version of control groups counts (cgroup-v2.rst, cgroup-v1/memory.rst); the first includes groups below."""
_known_counters: dict[bytes, Path] = {}
"""By what /proc says of the groups that we are in; the newest alone."""


@dataclass(frozen=True, slots=True)
class OomKills:
    """Processes ended for lack of memory so far: in our control group, and on the machine."""

    of_cgroup: int
    of_machine: int


class MemoryWitness:
    """Made before a command starts; asked when it has ended."""

    def __init__(self) -> None:
        self._counter = _cgroup_counter()
        self._before = self._count()
        self._log = _open_log()

    def kills(self) -> OomKills:
        """Count the processes that were ended for lack of memory since."""
        now = self._count()
        return OomKills(now.of_cgroup - self._before.of_cgroup, now.of_machine - self._before.of_machine)

    def log_names(self, pid: int) -> bool:
        """Tell whether the kernel's log says that this process was ended for lack of memory since."""
        return self._log is not None and any(pid == killed for killed in _killed_in(self._log))

    def close(self) -> None:
        """Give the log back."""
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _count(self) -> OomKills:
        of_cgroup = 0 if self._counter is None else _counted(self._counter)
        return OomKills(of_cgroup, _counted(Path("/proc/vmstat")))


def _counted(path: Path) -> int:
    """Read the line `oom_kill N` of a file; 0 where there is none."""
    try:
        text = b"\n" + path.read_bytes()
    except OSError:
        return 0
    value = text.partition(b"\noom_kill ")[2].partition(b"\n")[0].strip()
    return int(value) if value.isdigit() else 0


def _cgroup_counter() -> Path | None:
    """Find the file that counts for our control group, or the nearest above it that counts; the root has none, since it would be the machine's.

    Looked up once for each group that we are in: to read what is mounted takes longer than all else that is asked here.
    """
    try:
        membership = Path("/proc/self/cgroup").read_bytes()
    except OSError:
        return None
    known = _known_counters.get(membership)
    if known is None or not known.is_file():
        known = _find_counter()
        _known_counters.clear()
        if known is not None:
            _known_counters[membership] = known
    return known


def _find_counter() -> Path | None:
    above = (
        (system, group)
        for system, directory in own_groups()
        for group in ((directory, *directory.parents) if system == "cgroup2" else (directory,))
    )
    counters = (group / _COUNTERS[system] for system, group in above)
    return next((counter for counter in counters if counter.is_file()), None)


def _open_log() -> int | None:
    """Open the kernel's log behind its newest record; None where it may not be read, or speaks of other pids."""
    descriptor = None
    try:
        if str(Path("/proc/self/ns/pid").readlink()) != _FIRST_PID_NAMESPACE:
            return None
        descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(descriptor, 0, os.SEEK_END)
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


def _killed_in(log: int) -> Iterator[int]:
    """Read on in the log, and give the pids that it says were ended; EPIPE is a gap in it."""
    for _record in range(_LOG_RECORDS_MAX):
        try:
            record = os.read(log, _LOG_RECORD_BYTES)
        except BrokenPipeError:
            continue
        except OSError:
            return
        yield from (int(number) for number in _KILLED.findall(record) if b"emory" in record)
