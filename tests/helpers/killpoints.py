"""Processes that are killed at their n-th system call of a name, by strace: each point at which something may become durable."""

import random
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.daemons import DEADLINE_SECONDS

CALLS = (
    "write", "pwrite64", "writev", "fsync", "fdatasync", "link", "linkat", "symlink", "rename", "renameat", "renameat2", "unlink", "unlinkat",
    "rmdir", "openat", "close", "fcntl", "ftruncate", "fallocate", "mkdir", "chmod", "fchmod", "utimensat", "flock", "sendto",
)  # fmt: skip
_LINE = re.compile(r"^\d+ +([a-z0-9_]+)\(")

_DETACH_SECONDS = 10.0
"""Detaching takes milliseconds, or never ends."""

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (Debian's package of that name)")


@dataclass(frozen=True, slots=True)
class Point:
    """The `number`-th call of a name; strace counts each name apart."""

    call: str
    number: int

    @property
    def options(self) -> list[str]:
        """Give what tells strace to kill there."""
        return [f"--trace={self.call}", f"--inject={self.call}:signal=SIGKILL:when={self.number}"]


@contextmanager
def traced(pid: int, *options: str) -> Iterator[None]:
    """Have strace attached to all threads of a process while inside."""
    strace = subprocess.Popen(
        ["strace", "-f", "-o", "/dev/null", *options, "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert strace.stderr is not None
    try:
        line = strace.stderr.readline()
        assert b"attached" in line, line
        yield
    finally:
        strace.send_signal(signal.SIGTERM)  # it detaches, and leaves who lives alive
        try:
            strace.communicate(timeout=_DETACH_SECONDS)
        except subprocess.TimeoutExpired:
            # It waits for a child that was being forked, which waits for it; when it dies the kernel lets both go on.
            strace.kill()
            strace.communicate(timeout=DEADLINE_SECONDS)


@contextmanager
def recorded(pid: int, path: Path) -> Iterator[None]:
    """Write down the calls of a process while inside."""
    with traced(pid, f"--trace={','.join(CALLS)}", "-o", str(path)):
        yield


def points_of(lines: Iterable[str], *, from_call: str | None = None, changes_only: bool = False) -> list[Point]:
    """List every point of a trace, or those from the first call of a name on.

    With `changes_only` what opens a file to read it, and what closes one, is left out: a start does both a thousand times.
    """
    calls, found = Counter[str](), list[Point]()
    has_begun = from_call is None
    for line in lines:
        if (match := _LINE.match(line)) is None:
            continue
        call = match[1]
        calls[call] += 1
        has_begun = has_begun or call == from_call
        if has_begun and not (changes_only and _only_looks(call, line)):
            found.append(Point(call, calls[call]))
    return found


def _only_looks(call: str, line: str) -> bool:
    return call == "close" or (call == "openat" and not re.search("O_WRONLY|O_RDWR|O_CREAT", line))


def every(found: Sequence[Point], step: int, chance: random.Random) -> Iterator[Point]:
    """Give of each name every so many-th point, the first of them drawn, and at least one."""
    by_name: dict[str, list[Point]] = {}
    for point in found:
        by_name.setdefault(point.call, []).append(point)
    for points in by_name.values():
        yield from points[chance.randrange(min(step, len(points))) :: step]


def draw(found: Sequence[Point], chance: random.Random) -> Iterator[Point]:
    """Give all points in a drawn order in which each name comes as often as any other, while it lasts."""
    left: dict[str, list[Point]] = {}
    for point in found:
        left.setdefault(point.call, []).append(point)
    while left:
        name = chance.choice(sorted(left))
        yield left[name].pop(chance.randrange(len(left[name])))
        if not left[name]:
            del left[name]
