"""What is told of logs: their bytes, what is marked beside them, and where those lie that are complete."""

from dataclasses import dataclass

from expproto.vocabulary import EntryId

OUTPUT_BYTES = 64 * 1024
"""Bytes of log in one Output: what a pipe holds; larger pieces only delay the first line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Bytes of a log, exactly as written, from `offset` on; its marks were told up to the place `marks`.

    Between two of them lies what was cut out of the log. One that begins before the end of the last, perhaps without
    bytes, tells that the log was truncated.
    """

    kind = "output"
    entry: EntryId
    offset: int
    data: bytes
    marks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is told of a run beside its log, to be shown before the byte at `offset`; `marks` is where the next one is.

    `what` is `started`, `command` or `ended` (of a stage that runs), `skipped`, `restored` or `frozen` (of one that does not)
    or `note`; `text` are lines for a person, perhaps none. `exit_code` is that of a stage, negative for a signal.
    """

    kind = "mark"
    entry: EntryId
    offset: int
    marks: int
    at: float
    what: str
    stage: str | None
    text: str
    exit_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutput:
    """Bytes of a log that nothing is added to any more: those from `offset` to `end` of the file `path`.

    For a client that `reads_logs`, in the place of as many Outputs. The file is known by `device` and `inode`; a client that
    can't read it asks again without.
    """

    kind = "stored_output"
    entry: EntryId
    offset: int
    end: int
    path: str
    device: int
    inode: int
    marks: int = 0
