"""The daemon's own log, on stderr: one line an event, with priorities where the journal reads them.

Under systemd each event is an entry of the journal with its priority, and with EXPD_ENTRY and EXPD_RUN where it is of
one: `journalctl --user EXPD_RUN=3`. Where the journal's socket can't be reached, each line starts with a syslog level
`<N>` (sd-daemon(3)) instead. Neither carries a time, since the journal has its own; on a terminal or in a file a line
starts with it. Line breaks inside a message are escaped, so that no name or path can forge a line.
"""

import logging
import os
import socket
import stat
import sys
from collections.abc import Mapping
from typing import TextIO

JOURNAL_SOCKET = "/run/systemd/journal/socket"
"""Where journald takes entries with fields (sd_journal_send(3))."""
_FIELDS = ("entry", "run")
"""What a call may name in its `extra`: the ids that an event is about."""
_SYSLOG_LEVELS = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _JournalFormatter(logging.Formatter):
    """`<6>dispatch: run 3 started entry=3`."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_SYSLOG_LEVELS.get(record.levelno, 6)}>" + one_line(super().format(record))


class _JournalHandler(logging.StreamHandler[TextIO]):
    """Sends an event as an entry with fields; as a line on stderr where that fails."""

    def __init__(self, native: socket.socket) -> None:
        super().__init__(sys.stderr)
        self._native = native

    def emit(self, record: logging.LogRecord) -> None:
        """Send one event."""
        try:
            self._native.sendto(journal_record(_fields_of(record)), JOURNAL_SOCKET)
        except OSError:  # too large for a datagram, or journald is being restarted: its stream is kept
            super().emit(record)


def _fields_of(record: logging.LogRecord) -> dict[str, str]:
    text = logging.Formatter("%(name)s: %(message)s").format(record)
    ids = {f"EXPD_{name.upper()}": str(getattr(record, name)) for name in _FIELDS if hasattr(record, name)}
    level = str(_SYSLOG_LEVELS.get(record.levelno, 6))
    return {"MESSAGE": one_line(text), "PRIORITY": level, "SYSLOG_IDENTIFIER": "expd", **ids}


def journal_record(fields: Mapping[str, str]) -> bytes:
    """Give the datagram of one entry; the values hold no line break."""
    return b"".join(f"{name}={value}\n".encode("utf-8", "surrogateescape") for name, value in fields.items())


class _TerminalFormatter(logging.Formatter):
    """`2026-11-21T10:00:00 info dispatch: run 3 started entry=3`."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def one_line(text: str) -> str:
    r"""Escape control characters: a line feed becomes `\n` in two characters."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def open_journal(environ: Mapping[str, str], *, verbose: bool) -> None:
    """Send everything logged below `expd` to stderr, in the form its reader understands."""
    handler: logging.StreamHandler[TextIO] = logging.StreamHandler(sys.stderr)
    if is_under_systemd(environ):
        if stat.S_ISSOCK(os.fstat(sys.stderr.fileno()).st_mode):
            handler = _JournalHandler(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))
        handler.setFormatter(_JournalFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(
            _TerminalFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
        )
    logger = logging.getLogger("expd")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False


def is_under_systemd(environ: Mapping[str, str]) -> bool:
    """Tell whether stderr is the stream that systemd gave us: its device and inode are in JOURNAL_STREAM."""
    stat = os.fstat(sys.stderr.fileno())
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"
