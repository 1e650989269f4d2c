"""What a service and systemd say to each other: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).

Written out instead of libsystemd: a few variables and one datagram socket. Where there is no systemd nothing is said,
and nothing passed. Whatever goes wrong with a notification ends nobody: systemd notices a silent service by itself.
"""

import contextlib
import os
import socket
import stat
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path

FIRST_PASSED = 3
"""The first descriptor that systemd passes (SD_LISTEN_FDS_START)."""
VARIABLES = (
    "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID",
    "INVOCATION_ID", "JOURNAL_STREAM", "MANAGERPID", "SYSTEMD_EXEC_PID", "RUNTIME_DIRECTORY",
    "EXPD_DELEGATED",
)  # fmt: skip
"""What systemd tells one process, and what would be wrong in any other (systemd.exec(5))."""


class Notifier:
    """Tells systemd how the service is; says nothing where nobody listens."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        if address[:1] not in {"/", "@"}:
            self._address = ""
        self.watchdog_seconds = _watchdog_seconds(environ) if self._address else None
        self._status = ""
        self._beaten_at = 0.0

    @property
    def is_heard(self) -> bool:
        """Tell whether anybody listens."""
        return bool(self._address)

    @property
    def beat_seconds(self) -> float | None:
        """Give the longest time between two beats; half of the limit, as sd_watchdog_enabled(3) advises."""
        return None if self.watchdog_seconds is None else self.watchdog_seconds / 2

    def ready(self, status: str) -> None:
        """Say that what was asked for is there: the first start is through, or a reload."""
        self._say("READY=1", self._status_line(status) or f"STATUS={status}")

    def reloading(self) -> None:
        """Say that the settings are read again; `ready` ends it."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str) -> None:
        """Say that the end has begun."""
        self._say("STOPPING=1", f"STATUS={status}")

    def beat(self, status: str | None = None) -> None:
        """Say that we live, as often as the watchdog wants to hear it, and how we are if that is news."""
        lines = [] if status is None else [self._status_line(status)]
        if self.watchdog_seconds is not None and time.monotonic() - self._beaten_at >= self.watchdog_seconds / 4:
            self._beaten_at = time.monotonic()
            lines.append("WATCHDOG=1")
        self._say(*lines)

    def _status_line(self, status: str) -> str:
        if status == self._status:
            return ""
        self._status = status
        return f"STATUS={status}"

    def _say(self, *lines: str) -> None:
        said = [line for line in lines if line]
        if self._address and said:
            kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sending:
                sending.sendto("\n".join(said).encode(), self._address)


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Read how long we may be silent; None if nobody minds."""
    text = environ.get("WATCHDOG_USEC", "")
    if not text.isdigit() or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(text) / 1e6 or None


def passed_socket(environ: Mapping[str, str], path: Path) -> socket.socket | None:
    """Give the listening socket at `path` that systemd passed to this very process; None if it passed none.

    Raises OSError if what it passed is something else: serving a place that nobody dials would be worse than not to start.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = int(environ.get("LISTEN_FDS", "0"))
    for descriptor in range(FIRST_PASSED, FIRST_PASSED + count):
        os.set_inheritable(descriptor, False)
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            continue
        found = socket.socket(fileno=descriptor)
        if found.family == socket.AF_UNIX and found.type == socket.SOCK_STREAM and found.getsockname() == str(path):
            found.setblocking(False)
            return found
        found.detach()
    if count:
        raise OSError(f"systemd passed {count} descriptors, and none is a stream socket at {path}: see expd.socket")
    return None


def forget(environ: MutableMapping[str, str]) -> None:
    """Drop what systemd told this process alone, so that no process it starts takes it as its own."""
    for name in VARIABLES:
        environ.pop(name, None)
