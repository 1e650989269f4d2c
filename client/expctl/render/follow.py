"""The output of followed entries in four forms: exact, safe for a terminal, prefixed lines, JSON lines."""

from __future__ import annotations

import base64
import codecs
import errno
import os
import time

from expctl.fields import Fields
from expctl.output import STDOUT, Output
from expctl.render.outcomes import outcome_words
from expctl.render.progress import progress_document, progress_words
from expctl.render.status_line import StatusLine
from expctl.render.terminal import RESET, Sanitizer, visible, visible_lines
from expctl.render.times import iso, span
from expproto.fields import to_map
from expproto.logs import Mark
from expproto.replies import AttemptEnded

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Mapping

LINE_BYTES_MAX = 64 * 1024
"""A line longer than this is shown in pieces, each with its prefix: what is kept of several logs stays bounded."""

PIECE_BYTES = 64 * 1024
"""Of a file that is shown: what a pipe holds."""
COPIED_BYTES = 16 * 1024 * 1024
"""Of a file that is passed on: an interrupt is heard after so many."""
_NO_COPYING = frozenset({errno.EINVAL, errno.ENOSYS, errno.EAGAIN})
"""What sendfile(2) says of a stdout that it can't write to: one in append mode, or one that is full and not waited for."""

_RESET = RESET.encode()


def next_attempt_words(ended: AttemptEnded) -> str:
    """Say how an attempt ended, and when the next one follows."""
    how = f"{ended.entry} {ended.name} attempt {ended.attempt} {outcome_words(Fields(to_map(ended.outcome)))}"
    if ended.hold_reason is not None:
        return f"{how}; held, since {ended.hold_reason}: expctl release {ended.entry}"
    if ended.not_before is None:
        return f"{how}; attempt {ended.attempt + 1} follows"
    return f"{how}; attempt {ended.attempt + 1} follows in {span(max(0.0, ended.not_before - time.time()))}"


class View:
    """Where pieces of logs go as they arrive, and marks between them unless it `is_raw`."""

    is_raw = False
    shows_progress = False

    def progress(self, entry: int, progress: Fields) -> None:
        """Take how far an entry's run is, where the form shows it."""

    def refresh(self) -> None:
        """Bring up to date what changes with time alone."""

    def output(self, entry: int, offset: int, data: bytes) -> None:
        """Show a piece of an entry's log."""
        raise NotImplementedError

    def stored(self, entry: int, offset: int, end: int, log: int) -> int:
        """Show a piece of an open file; gives where it ended, before `end` if the file does."""
        while offset < end and (data := os.pread(log, min(PIECE_BYTES, end - offset), offset)):
            self.output(entry, offset, data)
            offset += len(data)
        return offset

    def mark(self, mark: Mark) -> None:
        """Show what is told beside the log: lines of their own, whatever the log's last line is."""
        raise NotImplementedError

    def attempt_ended(self, ended: AttemptEnded) -> None:
        """Show that an attempt is over that another one follows, where the form has room for that."""

    def ended(self, entry: int, outcome: Mapping[str, object], exit_code: int) -> None:
        """Show that an entry is done, where the form has room for that."""

    def close(self) -> None:
        """Show what was held back; the view is not used afterwards."""


class Exact(View):
    """The bytes as they were written."""

    def __init__(self, output: Output, *, is_raw: bool = False) -> None:
        self._output = output
        self.is_raw = is_raw
        self._is_line_open = False

    def output(self, entry: int, offset: int, data: bytes) -> None:  # noqa: ARG002 - one log has one place
        """Pass the bytes on."""
        self._output.raw(data)
        self._is_line_open = not data.endswith(b"\n")

    def stored(self, entry: int, offset: int, end: int, log: int) -> int:
        """Let the kernel pass the bytes on, but for the last ones."""
        if self._output.below is None:
            offset = _copied(log, offset, end - 1)
        return super().stored(entry, offset, end, log)

    def mark(self, mark: Mark) -> None:
        """Show the lines of a mark."""
        if mark.text:
            start = "\n" if self._is_line_open else ""
            self._output.data(f"{start}{mark.text}\n")
            self._is_line_open = False


def _copied(log: int, offset: int, end: int) -> int:
    """Copy a piece of a file to stdout without reading it, as far as stdout lets it; gives how far that was."""
    while offset < end:
        try:
            sent = os.sendfile(STDOUT, log, offset, min(COPIED_BYTES, end - offset))
        except OSError as error:
            if error.errno in _NO_COPYING:
                return offset
            raise
        if sent == 0:
            return offset
        offset += sent
    return offset


class _Live(View):
    """On a terminal, the runs' progress stands on a line below the log."""

    def __init__(self, output: Output, names: Mapping[int, str], *, is_live: bool) -> None:
        self._output = output
        self._titles = {entry: f"{name}: " if len(names) > 1 else "" for entry, name in names.items()}
        self._progress: dict[int, Fields] = {}
        if is_live and not output.quiet and os.environ.get("TERM", "dumb") != "dumb":
            output.below = StatusLine(lambda: os.get_terminal_size(STDOUT).columns)
            self.shows_progress = True

    def progress(self, entry: int, progress: Fields) -> None:
        """Show it instead of what was told before."""
        self._progress[entry] = progress
        self.refresh()

    def refresh(self) -> None:
        """Show what time has passed."""
        now = time.time()
        told = (self._titles[entry] + "  ".join(progress_words(one, now)) for entry, one in self._progress.items())
        self._output.show_below(" | ".join(told))

    def ended(self, entry: int, outcome: Mapping[str, object], exit_code: int) -> None:  # noqa: ARG002
        """Show no more of its progress."""
        self._progress.pop(entry, None)
        self.refresh()

    def close(self) -> None:
        """Leave no line behind."""
        self._progress.clear()
        self.refresh()


class Safe(_Live):
    """One log on a terminal."""

    def __init__(self, output: Output, names: Mapping[int, str]) -> None:
        super().__init__(output, names, is_live=True)
        self._sanitizer = Sanitizer()
        self._is_line_open = False

    def output(self, entry: int, offset: int, data: bytes) -> None:  # noqa: ARG002 - one log has one place
        """Pass on what a terminal may be given."""
        self._show(self._sanitizer.feed(data))

    def mark(self, mark: Mark) -> None:
        """Show the lines of a mark, in no colour that the log has left on."""
        if mark.text:
            self._end_line()
            self._show(visible_lines(mark.text) + "\n")

    def attempt_ended(self, ended: AttemptEnded) -> None:  # noqa: ARG002 - one log at a time
        """Leave the terminal as it was: the next log begins with a line of its own."""
        self.close()

    def ended(self, entry: int, outcome: Mapping[str, object], exit_code: int) -> None:
        """Leave the terminal as it was: no colour, and at the beginning of a line."""
        super().ended(entry, outcome, exit_code)
        self._end_line()

    def close(self) -> None:
        """Show what the sanitizer held, and leave nothing else behind."""
        super().close()
        self._end_line()

    def _end_line(self) -> None:
        """Show what the sanitizer held, reset its colours and end the line."""
        self._show(self._sanitizer.finish())
        if self._is_line_open:
            self._show("\n")

    def _show(self, text: str) -> None:
        if text:
            self._output.data(text)
            self._is_line_open = not text.removesuffix(RESET).endswith("\n")


class Prefixed(_Live):
    """Several logs, line by line, each line after its experiment's name."""

    def __init__(self, output: Output, names: Mapping[int, str], *, is_safe: bool, is_raw: bool = False) -> None:
        super().__init__(output, names, is_live=is_safe)
        self.is_raw = is_raw
        shown = {entry: visible(name) for entry, name in names.items()}
        width = max(map(len, shown.values()))
        self._prefixes = {entry: f"{name:<{width}} | ".encode() for entry, name in shown.items()}
        self._sanitizers = {entry: Sanitizer() for entry in names} if is_safe else {}
        self._unfinished = dict.fromkeys(names, b"")

    def output(self, entry: int, offset: int, data: bytes) -> None:  # noqa: ARG002 - lines have no place
        """Show the lines that are complete, and keep the rest."""
        if self._sanitizers:
            data = self._sanitizers[entry].feed(data).encode()
        *whole, rest = (self._unfinished[entry] + data).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            whole, rest = [*whole, rest], b""
        self._unfinished[entry] = rest
        self._output.raw(b"".join(self._line(entry, line) for line in whole))

    def mark(self, mark: Mark) -> None:
        """Show the lines of a mark, after what was there of an unfinished line."""
        if mark.text:
            self._finish_line(mark.entry)
            text = visible_lines(mark.text) if self._sanitizers else mark.text
            self._output.raw(b"".join(self._line(mark.entry, line.encode()) for line in text.split("\n")))

    def attempt_ended(self, ended: AttemptEnded) -> None:
        """Show the last line of a log."""
        self._finish_line(ended.entry)

    def ended(self, entry: int, outcome: Mapping[str, object], exit_code: int) -> None:
        """Show the last line, which may lack its end."""
        super().ended(entry, outcome, exit_code)
        self._finish_line(entry)
        del self._unfinished[entry]

    def _finish_line(self, entry: int) -> None:
        rest, self._unfinished[entry] = self._unfinished[entry], b""
        if self._sanitizers:
            rest += self._sanitizers[entry].finish().encode()
        self._output.raw(b"".join(self._line(entry, line) for line in rest.splitlines()))

    def close(self) -> None:
        """Show the last lines of all that did not end."""
        for entry in list(self._unfinished):
            self.ended(entry, {}, 0)
        super().close()

    def _line(self, entry: int, line: bytes) -> bytes:
        if self._sanitizers and b"\x1b" in line and not line.endswith(_RESET):
            line += _RESET
        return self._prefixes[entry] + line + b"\n"


class JsonLines(View):
    """One JSON document a piece and an end. `text` is the piece; `base64` stands beside it where it is not UTF-8."""

    def __init__(self, output: Output, names: Mapping[int, str], *, is_raw: bool = False) -> None:
        self._output = output
        self.is_raw = is_raw
        self.shows_progress = not is_raw
        self._names = names
        self._cut: dict[int, tuple[int, bytes]] = {}
        """Of each entry, the beginning of a character whose other bytes have not come, and its place."""

    def output(self, entry: int, offset: int, data: bytes) -> None:
        """Show a piece up to its last whole character."""
        if entry in self._cut and self._cut[entry][0] + len(self._cut[entry][1]) != offset:
            self._rest(entry)  # what would have made it whole was cut out of the log
        place, held = self._cut.pop(entry, (offset, b""))
        data = held + data
        try:
            text, used = codecs.utf_8_decode(data, "strict", False)
        except UnicodeDecodeError:
            text, used = data.decode("utf-8", "replace"), len(data)
            self._piece(entry, place, text, data)
        else:
            self._piece(entry, place, text, None)
        if used < len(data):
            self._cut[entry] = place + used, data[used:]

    def mark(self, mark: Mark) -> None:
        """Show a mark as it is."""
        about = {"offset": mark.offset, "at": iso(mark.at), "what": mark.what, "stage": mark.stage}
        self._event(mark.entry, "mark", {**about, "text": mark.text, "exit_code": mark.exit_code})

    def progress(self, entry: int, progress: Fields) -> None:
        """Show it as `status --json` does."""
        self._event(entry, "progress", progress_document(progress) or {})

    def attempt_ended(self, ended: AttemptEnded) -> None:
        """Show how an attempt ended; the offsets of the next begin at 0."""
        self._rest(ended.entry)
        outcome = to_map(ended.outcome)
        more = {"attempt": ended.attempt, "outcome": ended.outcome.kind, "detail": outcome}
        later = {"not_before": iso(ended.not_before), "hold_reason": ended.hold_reason}
        self._event(ended.entry, "attempt_ended", {**more, **later})

    def ended(self, entry: int, outcome: Mapping[str, object], exit_code: int) -> None:
        """Show how an entry ended."""
        self._rest(entry)
        self._event(entry, "ended", {"outcome": outcome["kind"], "detail": outcome, "exit_code": exit_code})

    def close(self) -> None:
        """Show the bytes that never became a character."""
        for entry in list(self._cut):
            self._rest(entry)

    def _rest(self, entry: int) -> None:
        if entry in self._cut:
            place, held = self._cut.pop(entry)
            self._piece(entry, place, held.decode("utf-8", "replace"), held)

    def _piece(self, entry: int, offset: int, text: str, inexact: bytes | None) -> None:
        if text:
            more = {} if inexact is None else {"base64": base64.b64encode(inexact).decode("ascii")}
            self._event(entry, "output", {"offset": offset, "text": text, **more})

    def _event(self, entry: int, event: str, more: Mapping[str, object]) -> None:
        self._output.document({"event": event, "id": entry, "name": self._names[entry], **more})
