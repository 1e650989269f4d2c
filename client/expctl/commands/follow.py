"""`expctl follow`: the output of entries, as it is written, until they end."""

from __future__ import annotations

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.fields import Entry, Fields, entries_of
from expctl.output import Output
from expctl.render.follow import Exact, JsonLines, Prefixed, Safe, View, next_attempt_words
from expctl.render.outcomes import outcome_words
from expctl.render.terminal import visible
from expctl.transport import BREAKS_MAX, Link, ask, connect, reconnect
from expctl.trouble import DAEMON_LOST, NOTHING_TO_FOLLOW, DisconnectedError, Trouble
from expproto.errors import BAD_MESSAGE, USAGE, RemoteProtocolError
from expproto.fields import to_map
from expproto.logs import Mark, StoredOutput
from expproto.logs import Output as LogOutput
from expproto.messages import message_from_map, message_to_map
from expproto.replies import AttemptEnded, Ended, EntryProgress, Followed
from expproto.requests import Follow, FollowTarget
from expproto.vocabulary import ACTIVE_STATES, EntryId, exit_code_of

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def run(arguments: Arguments, output: Output) -> int:
    """Follow, and give the exit code of how it ended; an interrupt ends the watching, not the experiment."""
    try:
        cwd = os.getcwd()  # noqa: PTH109 - as everywhere in the client
        entries, names = _chosen(cwd, _selectors(arguments))
        view = view_of(entries, output, is_raw=arguments.raw)
        try:
            return Following(cwd, names, arguments.lines, view, output).run()
        finally:
            view.close()
    except KeyboardInterrupt:
        output.words("expctl: detached; the experiment goes on")
        raise


class _OwnReadingFailed(Exception):
    """A log could not be read here: its bytes are to be sent."""


class Following:
    """What is still followed, and from which byte on: survives its connection."""

    def __init__(self, cwd: str, names: Mapping[int, str], lines: int | None, view: View, output: Output) -> None:
        self._cwd = cwd
        self._open = {EntryId(entry): FollowTarget(entry=name, lines=lines) for entry, name in names.items()}
        self._names = names
        self._codes: list[int] = []
        self._view = view
        self._output = output
        self._breaks = 0
        self._reads_logs = True

    def run(self) -> int:
        """Follow to the end, over as many connections as it takes."""
        while self._open:
            try:
                with reconnect() if self._breaks else connect() as link:
                    self._follow(link)
            except _OwnReadingFailed:
                self._reads_logs = False
            except DisconnectedError:
                self._breaks += 1
                if self._breaks > BREAKS_MAX:
                    raise Trouble(DAEMON_LOST, {"times": self._breaks}) from None
                if self._breaks == 1:
                    self._output.words("expctl: the daemon went away; connecting again")
        return self._codes[0] if len(self._codes) == 1 else int(any(self._codes))

    def _follow(self, link: Link) -> None:
        targets = tuple(self._open.values())
        shows_progress = self._view.shows_progress
        request = Follow(
            cwd=self._cwd,
            targets=targets,
            raw=self._view.is_raw,
            progress=shows_progress,
            reads_logs=self._reads_logs,
        )
        for reply in link.converse(message_to_map(request), idle=self._view.refresh if shows_progress else None):
            match message_from_map(reply):
                case LogOutput() as piece:
                    self._show(piece)
                case StoredOutput() as piece:
                    self._show_stored(piece)
                case Mark() as mark:
                    self._tell(mark)
                case EntryProgress(entry=entry, progress=progress):
                    self._view.progress(entry, Fields(to_map(progress)))
                case AttemptEnded() as attempt:
                    self._go_on(attempt)
                case Ended() as ended:
                    self._end(ended)
                case Followed() if not self._open:
                    return
                case other:
                    raise RemoteProtocolError(BAD_MESSAGE, f"{other.kind} answered follow")
            self._breaks = 0

    def _show(self, piece: LogOutput) -> None:
        """Show a piece; the next connection asks for what follows it."""
        self._go_to(piece.entry, piece.offset, piece.marks)
        self._continue(piece.entry, piece.offset + len(piece.data), piece.marks)
        self._view.output(piece.entry, piece.offset, piece.data)
        self._view.refresh()

    def _show_stored(self, piece: StoredOutput) -> None:
        """Show a piece of a file; what can't be read here is asked for."""
        descriptor = _opened(piece)
        if descriptor is None:
            raise _OwnReadingFailed
        self._go_to(piece.entry, piece.offset, piece.marks)
        try:
            shown = self._view.stored(piece.entry, piece.offset, piece.end, descriptor)
        finally:
            os.close(descriptor)
        self._continue(piece.entry, shown, piece.marks)
        if shown < piece.end:
            raise _OwnReadingFailed
        self._view.refresh()

    def _go_to(self, entry: EntryId, offset: int, marks: int) -> None:
        """Take note of where a piece begins, and say so if it is not where the last one ended."""
        before = self._continue(entry, offset, marks)
        if before.lines is None and offset != before.offset:
            self._remark(entry, offset - before.offset)

    def _tell(self, mark: Mark) -> None:
        """Show a mark; likewise."""
        self._continue(mark.entry, mark.offset, mark.marks)
        self._view.mark(mark)

    def _remark(self, entry: EntryId, missing: int) -> None:
        """Say that a part of a log is not there: cut out, or the log was cut off."""
        name = visible(self._names[entry])
        if missing > 0:
            self._output.words(
                f"\nexpctl: here {missing} bytes of the log of {name} are missing: cut out, since it is long"
            )
        else:
            self._output.words(f"\nexpctl: the log of {name} was truncated; it goes on here")

    def _continue(self, entry: EntryId, offset: int, marks: int) -> FollowTarget:
        """Take note of how far a log was shown; gives how far it was before."""
        if entry not in self._open:
            raise RemoteProtocolError(BAD_MESSAGE, f"output of entry {entry}, which is not followed")
        before = self._open[entry]
        target = FollowTarget(entry=self._names[entry], offset=offset, marks=marks, attempt=before.attempt)
        self._open[entry] = target
        return before

    def _go_on(self, ended: AttemptEnded) -> None:
        """Take note that another attempt follows: its log begins anew, also for the next connection."""
        if ended.entry not in self._open:
            raise RemoteProtocolError(BAD_MESSAGE, f"an attempt of entry {ended.entry}, which is not followed")
        self._open[ended.entry] = FollowTarget(entry=self._names[ended.entry], attempt=ended.attempt + 1)
        self._view.attempt_ended(ended)
        self._output.words(f"expctl: {visible(next_attempt_words(ended))}")

    def _end(self, ended: Ended) -> None:
        if self._open.pop(ended.entry, None) is None:
            raise RemoteProtocolError(BAD_MESSAGE, f"the end of entry {ended.entry}, which is not followed")
        code = exit_code_of(ended.outcome)
        self._codes.append(code)
        outcome = to_map(ended.outcome)
        self._view.ended(ended.entry, outcome, code)
        self._output.words(f"expctl: {ended.entry} {visible(ended.name)} {visible(outcome_words(Fields(outcome)))}")


def _opened(piece: StoredOutput) -> int | None:
    """Open the file of a log; None if it is not to be had here, or is another one."""
    try:
        descriptor = os.open(piece.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if (status.st_dev, status.st_ino) == (piece.device, piece.inode) and status.st_size >= piece.end:
        return descriptor
    os.close(descriptor)
    return None


def _selectors(arguments: Arguments) -> Sequence[str]:
    """Give what is to be followed; --attempt is of the one entry that is named."""
    if arguments.attempt is None:
        return arguments.entries
    if len(arguments.entries) != 1 or "@" in arguments.entries[0]:
        raise Trouble(USAGE, {"what": "--attempt is of one entry: expctl follow ID --attempt N"})
    return [f"{arguments.entries[0]}@{arguments.attempt}"]


def _chosen(cwd: str, selectors: Sequence[str]) -> tuple[list[Entry], dict[int, str]]:
    """Find the entries, and how to ask for each: ids survive a reconnect; `ID@2` is the second attempt."""
    if any("@" in selector for selector in selectors):
        return _chosen_attempts(cwd, selectors)
    entries = entries_of(ask(requests.status(cwd, selectors))[0])
    if not selectors:
        entries = _running(entries)
    return entries, {entry.id: str(entry.id) for entry in entries}


def _chosen_attempts(cwd: str, selectors: Sequence[str]) -> tuple[list[Entry], dict[int, str]]:
    entries, names = dict[int, Entry](), dict[int, str]()
    for selector in selectors:
        name, at, number = selector.partition("@")
        for entry in entries_of(ask(requests.status(cwd, [name]))[0]):
            entries[entry.id], names[entry.id] = entry, f"{entry.id}{at}{number}"
    return list(entries.values()), names


def _running(entries: Sequence[Entry]) -> list[Entry]:
    active = [entry for entry in entries if entry.state in ACTIVE_STATES]
    if len(active) != 1:
        candidates = [f"{entry.id} {entry.name} {entry.state}" for entry in active]
        raise Trouble(NOTHING_TO_FOLLOW, {"candidates": candidates})
    return active


def view_of(entries: Sequence[Entry], output: Output, *, is_raw: bool) -> View:
    """Choose the form in which these are shown."""
    names = {entry.id: entry.name for entry in entries}
    if output.as_json:
        return JsonLines(output, names, is_raw=is_raw)
    is_safe = output.is_terminal and not is_raw
    if len(entries) > 1:
        return Prefixed(output, names, is_safe=is_safe, is_raw=is_raw)
    return Safe(output, names) if is_safe else Exact(output, is_raw=is_raw)
