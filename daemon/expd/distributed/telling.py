"""What a worker host tells a daemon of one attempt: reports in order, output by its place in the log, and that it lives.

The log itself is the buffer: what the broker does not take now is read again later, from the same place.
"""

import logging
import os
from collections import deque
from pathlib import Path

import trio

from expd.bell import Bell
from expd.distributed.broker import Desk
from expd.distributed.logpieces import next_data
from expd.distributed.messages import (
    PIECE_BYTES_MAX,
    BrokerAway,
    Claimed,
    Report,
    Reported,
    Task,
    Told,
    Written,
    order_of,
    to_text,
)
from expproto.fields import to_map
from expproto.work import Progress

_journal = logging.getLogger("expd.distributed")

_BACKOFF_SECONDS = 0.5
_FULL_SECONDS = 10.0
"""Before a daemon that is away is told more: as much as may wait for it waits already."""
_BETWEEN_PIECES_SECONDS = 0.1
"""Between two pieces of output: no person sees the difference, and a broker does."""
_BEATS = 3
"""Signs of life in the time of a lease: two may be lost."""


class Teller:
    """Tells of one attempt; `bell` is to be rung when its log grows."""

    def __init__(self, task: Task, host: str, desk: Desk, log: Path, marks: Path) -> None:
        self.bell = Bell()
        self._task = task
        self._run = order_of(task).run
        self._host = host
        self._desk = desk
        self._log, self._marks = log, marks
        self._log_offset = self._marks_offset = 0
        self._words: deque[Told] = deque()
        self._beat_at = -1.0

    def report(self, report: Report) -> None:
        """Pass a report on; of progress only the newest is told."""
        word = Reported(run=self._run, token=self._task.token, report=to_map(report))
        if self._words and isinstance(report, Progress) and _is_progress(self._words[-1]):
            self._words.pop()
        self._words.append(word)
        self.bell.ring()

    async def run(self) -> None:
        """Tell whatever there is to tell, until cancelled."""
        while True:
            rung = self.bell.next_ring
            word = self._next_word() or await trio.to_thread.run_sync(self._piece)
            if word is None:
                with trio.move_on_at(self._beat_at):
                    await rung.wait()
                continue
            await self.insist(word)
            if isinstance(word, Written):
                await trio.sleep(_BETWEEN_PIECES_SECONDS)

    async def insist(self, word: Told) -> None:
        """Tell one thing, however long the broker is away; a daemon that has it back hears of us within its lease."""
        backoff = _BACKOFF_SECONDS
        while True:
            try:
                if await trio.to_thread.run_sync(self._desk.tell, self._task.store, to_map(word)):
                    return
                await trio.sleep(_FULL_SECONDS)
            except BrokerAway as away:
                _journal.warning("the broker is away: %s", away.what)
                await trio.sleep(backoff)
                backoff = min(2 * backoff, self._task.lease_seconds / _BEATS)

    def _next_word(self) -> Told | None:
        if trio.current_time() >= self._beat_at:
            self._beat_at = trio.current_time() + self._task.lease_seconds / _BEATS
            return Claimed(run=self._run, token=self._task.token, host=self._host)
        return self._words.popleft() if self._words else None

    def _piece(self) -> Written | None:
        """Read on in the log and its marks: first how long the log is, then the marks, so that none is missing before it."""
        size = self._log.stat().st_size
        marks = _read(self._marks, self._marks_offset, PIECE_BYTES_MAX)
        self._log_offset = min(size, next_data(self._log, self._log_offset))
        log = _read(self._log, self._log_offset, min(PIECE_BYTES_MAX, size - self._log_offset))
        if not marks and not log:
            return None
        word = Written(
            run=self._run,
            token=self._task.token,
            log_offset=self._log_offset,
            log=to_text(log),
            marks_offset=self._marks_offset,
            marks=to_text(marks),
        )
        self._log_offset += len(log)
        self._marks_offset += len(marks)
        return word


def _is_progress(word: Told) -> bool:
    return isinstance(word, Reported) and word.report.get("kind") == Progress.kind


def _read(path: Path, offset: int, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, max(0, size), offset)
    finally:
        os.close(descriptor)
