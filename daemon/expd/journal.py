"""The daemon's own log, on stderr: one line an event, with priorities where the journal reads them.

Under systemd each line starts with a syslog level `<N>` (sd-daemon(3)) and carries no time, since the journal has
its own; on a terminal or in a file it starts with the time. Line breaks inside a message are escaped, so that no
name or path can forge a line.
"""

import logging
import os
import sys
from collections.abc import Mapping

_SYSLOG_LEVELS = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _JournalFormatter(logging.Formatter):
    """`<6>dispatch: run 3 started entry=3`."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_SYSLOG_LEVELS.get(record.levelno, 6)}>" + one_line(super().format(record))


class _TerminalFormatter(logging.Formatter):
    """`2026-11-21T10:00:00 info dispatch: run 3 started entry=3`."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def one_line(text: str) -> str:
    r"""Escape control characters: a line feed becomes `\n` in two characters."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def open_journal(environ: Mapping[str, str], *, verbose: bool) -> None:
    """Send everything logged below `expd` to stderr, in the form its reader understands."""
    handler = logging.StreamHandler(sys.stderr)
    if is_under_systemd(environ):
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
