"""One line below a log on a terminal: how far what is followed is. The log's own bytes reach the screen as without it.

It stands below where the log's next byte goes, and gives way to it. The terminal itself keeps that place (DECSC, DECRC),
also in the middle of a line; only where a line fills its row to the last column, and terminals differ in what they keep,
nothing is shown until the log goes on.
"""

from __future__ import annotations

import re
import unicodedata

from expctl.render.terminal import RESET, visible

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Callable

_SAVE, _RESTORE = "\x1b7", "\x1b8"
_DIM = "\x1b[0;2m"
_ROOM_BELOW = "\x1bD\x1b[A"
"""Down and up again, in the same column: the screen scrolls if this was its last row."""
_TO_NEXT_ROW = "\x1b[B\r"
_AWAY = f"{_SAVE}{RESET}\x1b[J{_RESTORE}"
"""Clear everything behind the log, without its colours."""
_COLOUR = re.compile("\x1b\\[[0-9;:]*m")
_ROW_CHARACTERS_MAX = 4096
"""Of a line that goes on: where a longer one ends is not worth the counting."""
_TAB = 8


class StatusLine:
    """Gives what is to be written: `change` for another text, `around` and `away` for what is written otherwise.

    `columns` tells how wide the terminal is now.
    """

    def __init__(self, columns: Callable[[], int]) -> None:
        self._columns = columns
        self._text = ""
        self._is_drawn = False
        self._line = ""
        """What the log has written since its last line break."""

    def change(self, text: str) -> bytes:
        """Give what shows this instead of what was there, or nothing if it is empty."""
        if text == self._text:
            return b""
        self._text = text
        return (self._cleared() + self._drawn()).encode()

    def around(self, data: bytes) -> bytes:
        """Give output, and the line below it."""
        if not data:
            return b""
        text = data.decode("utf-8", "replace")
        self._line = text.rpartition("\n")[2] if "\n" in text else (self._line + text)[: _ROW_CHARACTERS_MAX + 1]
        return self._cleared().encode() + data + self._drawn().encode()

    def away(self) -> bytes:
        """Give what takes the line away; the next `change` brings it back."""
        self._text = self._line = ""
        return self._cleared().encode()

    def _cleared(self) -> str:
        was_drawn, self._is_drawn = self._is_drawn, False
        return _AWAY if was_drawn else ""

    def _drawn(self) -> str:
        if not self._text:
            return ""
        columns = self._columns()
        text = f"{_DIM}{_cut(visible(self._text), columns - 1)}"
        if len(self._line) > _ROW_CHARACTERS_MAX:
            return ""
        column = column_after(_COLOUR.sub("", self._line), columns)
        if column >= columns:
            return ""
        self._is_drawn = True
        return f"{_ROOM_BELOW}{_SAVE}{_TO_NEXT_ROW}{text}{_RESTORE}" if column else f"{_SAVE}{text}{_RESTORE}"


def column_after(line: str, columns: int) -> int:
    """Give the column behind a line that wraps; as many as there are columns is a row that is full."""
    column = 0
    for character in line:
        if character == "\t":
            column = min(column - column % _TAB + _TAB, columns - 1)
            continue
        width = _width(character)
        column = width if column + width > columns else column + width
    return column


def _cut(text: str, columns: int) -> str:
    """Give as much of a text as these columns hold."""
    column = 0
    for place, character in enumerate(text):
        column += _width(character)
        if column > columns:
            return text[:place]
    return text


def _width(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
