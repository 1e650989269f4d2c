"""Where a command's words go: data to stdout, words to stderr, as bytes and at once.

Written by os.write: nothing stays in a buffer that a later write would fail to flush, a broken pipe shows itself at
the write that meets it, and the bytes of a log pass unchanged.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from expctl.render.status_line import StatusLine

STDOUT, STDERR = 1, 2


class Output:
    """How one command was asked to speak: as JSON, in ids only, to a person at a terminal, or to a program."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.is_terminal = os.isatty(STDOUT)
        self.below: StatusLine | None = None
        """What stands below the output on a terminal, and gives way to it."""

    def data(self, text: str) -> None:
        """Write what was asked for."""
        self.raw(text.encode("utf-8", "surrogateescape"))

    def raw(self, data: bytes) -> None:
        """Write bytes to stdout as they are."""
        write_all(STDOUT, data if self.below is None else self.below.around(data))

    def show_below(self, text: str) -> None:
        """Write another text on the line below, where there is one."""
        if self.below is not None:
            write_all(STDOUT, self.below.change(text))

    def words(self, text: str) -> None:
        """Write a line for the person who waits; not with --json or --quiet."""
        if self.below is not None:
            write_all(STDOUT, self.below.away())
        if not (self.as_json or self.quiet):
            write_all(STDERR, f"{text}\n".encode("utf-8", "backslashreplace"))

    def document(self, value: Mapping[str, object]) -> None:
        """Write one JSON document on a line."""
        from expctl.render.as_json import to_json  # noqa: PLC0415 - json costs 5 ms to those who don't ask for it

        self.data(to_json(value))

    def show(
        self,
        *,
        document: Callable[[], Mapping[str, object]],
        names: Callable[[], str],
        lines: Callable[[], str],
        table: Callable[[], str],
    ) -> None:
        """Write a result in the form asked for; only that form is made."""
        if self.as_json:
            self.document(document())
        elif self.quiet:
            self.data(names())
        elif self.is_terminal:
            self.data(table())
        else:
            self.data(lines())


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, also to a descriptor that somebody else made non-blocking."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            import select  # noqa: PLC0415 - only here, and only then

            select.select([], [descriptor], [])
