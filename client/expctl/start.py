"""Starting a daemon: once, by whoever comes first, and with its own words if it fails.

Imported only when nobody listens.
"""

import _socket
import fcntl
import os
import select
import stat
import subprocess
import sys
import time
from dataclasses import dataclass

from expctl.requests import submitted_environment
from expctl.systemd import serves_us, start_service
from expctl.transport import address, dial
from expctl.trouble import DAEMON_FAILED, DAEMON_SLOW, NO_DAEMON, UNSAFE_DIRECTORY, Trouble
from expctl.units import SERVICE
from expproto.address import runtime_directory, state_directory

LOCK_NAME = "start.lock"
LOG_NAME = "expd.log"
EXIT_LOCKED = 75
"""EX_TEMPFAIL: another daemon holds the lock; it is about to listen, or about to end."""
READY = b"READY\n"
READY_SECONDS = 60.0
"""Reading a store of a hundred thousand entries and adopting their runs takes seconds."""
LOCKED_SECONDS = 10.0
"""How long another daemon may take from its lock to its socket, or from its socket to its end."""
LOCKED_PAUSE_SECONDS = 0.05
TAIL_BYTES = 4096
TAIL_LINES = 20

_children: list["subprocess.Popen[bytes]"] = []
"""Daemons that this process started: kept, since a dropped Popen warns about a child that still runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A connection to a daemon that listens; `by_us` if this process started it."""

    connection: _socket.socket
    by_us: bool


def start_daemon() -> Started:
    """Give a connection to a daemon, starting one unless somebody else just did; raises Trouble with the reason."""
    if os.environ.get("EXPD_AUTOSTART") == "0":
        raise Trouble(NO_DAEMON, {"socket": address(), "why": "EXPD_AUTOSTART=0 forbids starting one"})
    directory = runtime_directory(os.environ)
    make_private(state_directory(os.environ))  # first: where there is no runtime directory, that one lies in here
    make_private(directory)
    lock = os.open(f"{directory}/{LOCK_NAME}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = dial()
        if connection is not None:
            return Started(connection=connection, by_us=False)
        return _start_service() if serves_us() else _start()
    finally:
        os.close(lock)


def make_private(directory: str) -> None:
    """Make a directory for us alone; raises Trouble if what stands there is a link, another's or open to others."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)  # noqa: PTH103 - pathlib costs 10 ms and adds nothing here
        found = os.lstat(directory)
    except OSError as error:
        raise Trouble(UNSAFE_DIRECTORY, {"path": directory, "what": error.strerror}) from error
    if not stat.S_ISDIR(found.st_mode):
        raise Trouble(UNSAFE_DIRECTORY, {"path": directory, "what": "it is not a directory but a link"})
    if found.st_uid != os.geteuid():
        raise Trouble(UNSAFE_DIRECTORY, {"path": directory, "what": f"it belongs to user {found.st_uid}"})
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise Trouble(UNSAFE_DIRECTORY, {"path": directory, "what": f"others may enter it: its mode is {mode:04o}"})


def _start_service() -> Started:
    """Have the service started that is installed: a daemon beside it would be in its way."""
    start_service()
    log_path = f"the journal: journalctl --user -u {SERVICE}"
    return Started(connection=_dial_until(log_path, seconds=LOCKED_SECONDS), by_us=True)


def _start() -> Started:
    log_path = f"{state_directory(os.environ)}/{LOG_NAME}"
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        log_start = os.fstat(log).st_size
        process, ready = _spawn(log)
    finally:
        os.close(log)
    try:
        is_ready = _wait_ready(ready, log_path)
    finally:
        os.close(ready)
    if is_ready:
        return Started(connection=_dial_until(log_path, seconds=0.0), by_us=True)
    exit_code = process.wait()
    if exit_code == EXIT_LOCKED:
        return Started(connection=_dial_until(log_path, seconds=LOCKED_SECONDS), by_us=False)
    tail = _tail(log_path, log_start)
    raise Trouble(DAEMON_FAILED, {"exit_code": exit_code, "log": log_path, "tail": tail})


def _spawn(log: int) -> tuple["subprocess.Popen[bytes]", int]:
    """Start expd in a session of its own, away from our directory; give the end of a pipe that it says READY into."""
    ready, ready_there = os.pipe()
    environment = dict(submitted_environment(os.environb))
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "expd", "--ready-fd", str(ready_there)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
            start_new_session=True,
            pass_fds=(ready_there,),
        )
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(ready_there)
    _children.append(process)
    return process, ready


def _wait_ready(ready: int, log_path: str) -> bool:
    """Wait for READY or for the end of the pipe, which is the daemon's end."""
    deadline = time.monotonic() + READY_SECONDS
    said = b""
    while len(said) < len(READY):
        readable, _, _ = select.select([ready], [], [], max(deadline - time.monotonic(), 0.0))
        if not readable:
            raise Trouble(DAEMON_SLOW, {"seconds": READY_SECONDS, "log": log_path})
        data = os.read(ready, len(READY))
        if not data:
            return False
        said += data
    return said == READY


def _dial_until(log_path: str, *, seconds: float) -> _socket.socket:
    """Connect; tries for some time if another daemon is on its way up or down."""
    deadline = time.monotonic() + seconds
    while (connection := dial()) is None:
        if time.monotonic() >= deadline:
            raise Trouble(DAEMON_SLOW, {"seconds": seconds, "log": log_path})
        time.sleep(LOCKED_PAUSE_SECONDS)
    return connection


def _tail(path: str, start: int) -> str:
    """Give the last lines that were written to a log since it had `start` bytes."""
    with open(path, "rb") as log:  # noqa: PTH123 - as above
        end = log.seek(0, os.SEEK_END)
        log.seek(max(start, end - TAIL_BYTES))
        text = log.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-TAIL_LINES:])
