"""Who has a file open, as far as /proc tells: the processes of this user, and all of them for root."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that has a file open, or that works where it is."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


def has_open(pid: int, path: Path) -> bool:
    """Tell whether a process has this very file or directory open, as far as we may look."""
    try:
        return _has_open(pid, path.stat())
    except OSError:
        return False


def holder_of(path: Path) -> Holder | None:
    """Find a process that has this very file open; None if there is none that we may look at."""
    try:
        wanted = path.stat()
    except OSError:
        return None
    for process in psutil.process_iter(["name"]):
        if _has_open(process.pid, wanted):
            return Holder(pid=process.pid, name=str(process.info["name"]))
    return None


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    return any(_is_same(descriptor, wanted) for descriptor in descriptors)


def _is_same(descriptor: Path, wanted: os.stat_result) -> bool:
    try:
        status = descriptor.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (wanted.st_dev, wanted.st_ino)


def at_work_in(directory: Path, names: frozenset[str]) -> Holder | None:
    """Find a process of one of these names whose working directory is `directory` or below it."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] not in names:
            continue
        try:
            if Path(f"/proc/{process.pid}/cwd").readlink().is_relative_to(directory):
                return Holder(pid=process.pid, name=str(process.info["name"]))
        except OSError:
            continue
    return None
