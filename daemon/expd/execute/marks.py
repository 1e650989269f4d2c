"""What is told of a run beside its raw log: `<log>.marks`, a line of JSON a record, each with its place in the log.

Written by the worker, before whatever comes after it in the log can be written; read by the daemon, which merges both.
A record that is torn, by a kill or a full disk, is passed over, and so is what makes no sense.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RECORD_BYTES_MAX = 256 * 1024
"""A record: the longest command that a shell takes, and its escapes. What is longer was not written by us."""
_TEXT_CHARACTERS_MAX = 32 * 1024
_STAGE_CHARACTERS_MAX = 1000
_CODE_MAX = 2**31
_TIME_MAX = 2**40
"""Seconds since the epoch: for 30,000 years from now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One mark: `offset` is its place in the log, `end` where the next one begins in the marks.

    `what` is `note`, `command`, `skipped`, `restored`, `frozen`, `started` or `ended`; `text` are lines for a person,
    perhaps none.
    """

    offset: int
    end: int
    at: float
    what: str
    stage: str | None
    text: str
    exit_code: int | None


def marks_of(log: Path) -> Path:
    """Give the path of the marks that belong to a log."""
    return log.with_name(f"{log.name}.marks")


class MarkWriter:
    """Appends records; `log` is the descriptor of the raw log. What the disk does not take is not marked."""

    def __init__(self, path: Path, log: int) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._log = log

    def write(self, what: str, text: str = "", *, stage: str | None = None, exit_code: int | None = None) -> None:
        """Mark the present end of the log, whole, in one write; a full disk must not end a run over a remark."""
        fields = {
            "offset": os.fstat(self._log).st_size,
            "at": time.time(),
            "what": what,
            "stage": None if stage is None else _clean(stage)[:_STAGE_CHARACTERS_MAX],
            "text": _clean(text.rstrip("\n"))[:_TEXT_CHARACTERS_MAX],
            "exit_code": exit_code,
        }
        line = json.dumps(fields).encode("ascii") + b"\n"
        try:
            if os.write(self._descriptor, line) < len(line):
                os.write(self._descriptor, b"\n")  # torn: the next record begins a line of its own
        except OSError:
            return

    def sync(self) -> None:
        """Put what was written on the disk; raises OSError."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)


def read_marks(descriptor: int, position: int) -> tuple[list[Record], int]:
    """Read some records from a place in the marks on; gives them, and where to read on. No progress: there are no more.

    What is there of a record that is not whole yet is left for the next time.
    """
    data = os.pread(descriptor, RECORD_BYTES_MAX, position)
    whole = data[: data.rfind(b"\n") + 1]
    if not whole:
        return [], position + (len(data) if len(data) == RECORD_BYTES_MAX else 0)
    return list(_parse(whole, position)), position + len(whole)


def _parse(lines: bytes, position: int) -> Iterator[Record]:
    for line in lines.splitlines(keepends=True):
        position += len(line)
        record = _record(line, position)
        if record is not None:
            yield record


def _record(line: bytes, end: int) -> Record | None:
    """Read one line; None if it is no record."""
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    offset, at, what, text = (value.get(name) for name in ("offset", "at", "what", "text"))
    stage, exit_code = value.get("stage"), value.get("exit_code")
    if not (
        isinstance(offset, int) and isinstance(at, int | float) and isinstance(what, str) and isinstance(text, str)
    ):
        return None
    if offset < 0 or not 0 <= at < _TIME_MAX:
        return None
    return Record(
        offset=offset,
        end=end,
        at=float(at),
        what=what,
        stage=_clean(stage) if isinstance(stage, str) else None,
        text=_clean(text),
        exit_code=exit_code if isinstance(exit_code, int) and abs(exit_code) < _CODE_MAX else None,
    )


def _clean(text: str) -> str:
    """Give text that is UTF-8, whatever a file name in it was."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
