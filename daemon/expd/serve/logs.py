"""A raw log and the marks beside it → one stream, from any position in both; and where the last lines of both begin.

A mark is in its file before anything that follows it is in the log. So the log's size is looked at first and the marks
after it: up to that size none is missing. One that comes late all the same, from a stage beside others, is sent at once.
"""

import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from expd.execute.marks import Record, read_marks
from expproto.logs import OUTPUT_BYTES, Mark, Output, StoredOutput
from expproto.vocabulary import EntryId

STORED_BYTES_MIN = 1024 * 1024
"""A piece of a complete log is shorter sent than opened by whoever may read it himself."""
_TAIL_BLOCK_BYTES = 64 * 1024
_TAIL_MARKS_BYTES_MAX = 16 * 1024 * 1024
"""Marks that are looked through for the last lines: a hundred thousand stages; of more, the first are not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far both files were read."""

    offset: int = 0
    marks: int = 0


class LogStream:
    """One log from a position on; `send_rest` sends what there is by now. To be closed.

    The log stays open in between, so that one which is deleted while its run goes on is still followed. Of one that is
    complete, and `is_read_there`, long pieces are named instead of sent.
    """

    def __init__(
        self,
        entry: EntryId,
        log: Path,
        marks: Path | None,
        answer: Callable[[Output | StoredOutput | Mark], Awaitable[None]],
        *,
        is_read_there: bool = False,
    ) -> None:
        self._is_read_there = is_read_there
        self._entry = entry
        self._path = log
        self._marks = marks
        self._answer = answer
        self._log = _open(log)
        self._is_told = False

    def close(self) -> None:
        """Give the log back."""
        if self._log is not None:
            os.close(self._log)

    async def send_rest(self, position: Position) -> Position:
        """Send what there is from a position on; gives the position behind it."""
        position = await self._begin_again_if_cut(position)
        log = self._log
        with _opened(self._marks) as marks:
            while True:
                size = 0 if log is None else os.fstat(log).st_size
                records, read_to = ([], position.marks) if marks is None else read_marks(marks, position.marks)
                if read_to == position.marks:
                    position = await self._send_raw(log, position, max(size, position.offset))
                    if log is None or os.fstat(log).st_size <= position.offset:
                        return position
                    continue
                for record in records:
                    position = await self._send_raw(log, position, record.offset)
                    position = await self._send_mark(record, position)
                position = Position(offset=position.offset, marks=read_to)

    async def _begin_again_if_cut(self, position: Position) -> Position:
        """Go on at the end of a log that was truncated, which a piece without bytes tells; tell of one that was deleted."""
        status = None if self._log is None else os.fstat(self._log)
        if (status is None or status.st_nlink == 0) and not self._is_told:
            self._is_told = True
            await self._tell_deleted(position)
        if status is None or status.st_size >= position.offset:
            return position
        position = Position(offset=status.st_size, marks=position.marks)
        await self._answer(Output(entry=self._entry, offset=position.offset, data=b"", marks=position.marks))
        return position

    async def _tell_deleted(self, position: Position) -> None:
        if self._marks is None:
            return
        text = f"expd: the log was deleted: {self._path}"
        await self._answer(
            Mark(
                entry=self._entry,
                offset=position.offset,
                marks=position.marks,
                at=time.time(),
                what="note",
                stage=None,
                text=text,
                exit_code=None,
            )
        )

    async def _send_raw(self, log: int | None, position: Position, end: int) -> Position:
        """Send bytes up to a position; a hole, where the middle of a log was cut out, is passed over."""
        while log is not None and position.offset < end:
            start = _next_data(log, position.offset, end)
            upto = _next_hole(log, start, end)
            if self._is_read_there and upto - start >= STORED_BYTES_MIN:
                await self._answer(self._stored(log, start, upto, position))
                position = Position(offset=upto, marks=position.marks)
                continue
            data = os.pread(log, min(OUTPUT_BYTES, upto - start), start)
            if not data:
                break
            await self._answer(Output(entry=self._entry, offset=start, data=data, marks=position.marks))
            position = Position(offset=start + len(data), marks=position.marks)
        return position

    def _stored(self, log: int, start: int, end: int, position: Position) -> StoredOutput:
        status = os.fstat(log)
        return StoredOutput(
            entry=self._entry,
            offset=start,
            end=end,
            path=str(self._path),
            device=status.st_dev,
            inode=status.st_ino,
            marks=position.marks,
        )

    async def _send_mark(self, record: Record, position: Position) -> Position:
        mark = Mark(
            entry=self._entry,
            offset=position.offset,
            marks=record.end,
            at=record.at,
            what=record.what,
            stage=record.stage,
            text=record.text,
            exit_code=record.exit_code,
        )
        await self._answer(mark)
        return Position(offset=position.offset, marks=record.end)


def _next_data(log: int, offset: int, end: int) -> int:
    """Find the first byte from a position on that is in no hole; `end` if there is none before."""
    try:
        return min(end, os.lseek(log, offset, os.SEEK_DATA))
    except OSError:
        return end


def _next_hole(log: int, offset: int, end: int) -> int:
    """Find where the next hole begins; `end` if there is none before."""
    try:
        return min(end, os.lseek(log, offset, os.SEEK_HOLE))
    except OSError:
        return end


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


@contextmanager
def _opened(path: Path | None) -> Iterator[int | None]:
    """Open a file for reading; None if there is none."""
    descriptor = None if path is None else _open(path)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def tail_position(log: Path, marks: Path | None, lines: int) -> Position:
    """Find where the last so many lines of both begin; a mark of several lines is shown whole."""
    with log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        floor = _end_of_last_hole(file.fileno(), end)
    with _opened(marks) as descriptor:
        records, read_to = ([], 0) if descriptor is None else _read_all(descriptor)
    if lines <= 0:
        return Position(offset=end, marks=read_to)
    wanted, upper = lines, end
    for record in reversed(records):
        if record.offset < floor:
            return Position(offset=tail_offset(log, wanted, floor, upper), marks=record.end)
        lower = min(record.offset, upper)
        between = tail_offset(log, wanted, lower, upper)
        if between > lower or count_lines(log, lower, upper) >= wanted:
            return Position(offset=between, marks=record.end)
        wanted -= count_lines(log, lower, upper)
        shown = record.text.count("\n") + 1 if record.text else 0
        if shown >= wanted:
            return Position(offset=lower, marks=_begin_of(record, records))
        wanted, upper = wanted - shown, lower
    return Position(offset=tail_offset(log, wanted, floor, upper))


def _end_of_last_hole(log: int, end: int) -> int:
    """Find where the part of a log begins out of which nothing was cut: nobody looks for lines beyond."""
    floor = 0
    while (hole := _next_hole(log, floor, end)) < end:
        floor = _next_data(log, hole, end)
    return floor


def _begin_of(record: Record, records: Sequence[Record]) -> int:
    """Give where a record begins: where the one before it ends."""
    index = records.index(record)
    return records[index - 1].end if index else 0


def _read_all(descriptor: int) -> tuple[list[Record], int]:
    """Read the last marks there are, up to a bound."""
    position = max(0, os.fstat(descriptor).st_size - _TAIL_MARKS_BYTES_MAX)
    found: list[Record] = []
    while True:
        records, read_to = read_marks(descriptor, position)
        if read_to == position:
            return found, position
        found += records
        position = read_to


def tail_offset(log: Path, lines: int, lower: int = 0, upper: int | None = None) -> int:
    """Find where the last so many lines of a piece of a file begin; a line that is not finished counts as one."""
    with log.open("rb") as file:
        end = position = file.seek(0, os.SEEK_END) if upper is None else upper
        wanted = lines
        if position > lower and wanted > 0:
            position -= 1  # the line feed that ends the last line begins no other
        while position > lower and wanted > 0:
            start = max(lower, position - _TAIL_BLOCK_BYTES)
            file.seek(start)
            block = file.read(position - start)
            breaks = block.count(b"\n")
            if breaks >= wanted:
                return start + _nth_break_from_end(block, wanted) + 1
            wanted -= breaks
            position = start
    return lower if lines > 0 else end


def count_lines(log: Path, lower: int, upper: int) -> int:
    """Count the lines of a piece of a file; one that is not finished counts as one."""
    count, last = 0, b"\n"
    with log.open("rb") as file:
        file.seek(lower)
        while lower < upper and (block := file.read(min(_TAIL_BLOCK_BYTES, upper - lower))):
            count, last, lower = count + block.count(b"\n"), block[-1:], lower + len(block)
    return count if last == b"\n" else count + 1


def _nth_break_from_end(block: bytes, number: int) -> int:
    position = len(block)
    for _break in range(number):
        position = block.rindex(b"\n", 0, position)
    return position
