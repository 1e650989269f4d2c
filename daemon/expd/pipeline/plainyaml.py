"""The plainest YAML, read without a YAML parser, which takes most of the time wherever small files are read by the thousand.

Promise: what is given is what YAML 1.2 gives. A text with anything in it that needs a second thought (escapes, folded lines,
anchors, tags, documents, mappings in one line, keys that are numbers) is not read at all.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

DEPTH_MAX = 40
"""Deeper is left to the parser, which has a limit of its own."""

_RESERVED = frozenset({"null", "true", "false"})
_TEXT = re.compile(r"[\n -~\u00a1-\u1fff]*\Z")
_LINE = re.compile(r"( *)(- )?(?:([A-Za-z_][A-Za-z0-9_@./-]{0,99}):(?: +|\Z))?(.*)\Z")
_COMMENTED = re.compile(r"([^#'\"]*?) *(?<= )#.*\Z")
_WORD = re.compile(r"(?:[A-Za-z_/]|\.\.?/)(?:[ -\"$-9;-~]|:(?=[!-~]))*\Z")
_ITEM = re.compile(r"(?:[A-Za-z_/]|\.\.?/)(?:[A-Za-z0-9_./ -]*[A-Za-z0-9_./-])?\Z|-?[0-9][0-9.eE+-]*\Z")
_HASH = re.compile(r"[0-9a-f]{32}(?:\.dir)?\Z")
_SINGLE = re.compile(r"'((?:[ -&(-~]|'')*)'\Z")
_DOUBLE = re.compile(r'"([ !#-\[\]-~]*)"\Z')
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)\Z")


class _NotPlain(Exception):
    """The text is one for the YAML parser."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A key, a value, both, or only the dash of an item whose mapping begins in this line: at a column of the text."""

    column: int
    is_item: bool
    key: str | None
    value: str


def parse_plain(text: str) -> dict[str, object] | None:
    """A mapping as plain data, or None if the text is not plain, or holds nothing."""
    if not _TEXT.match(text):
        return None
    try:
        lines = _Lines(text)
        found = lines.mapping(lines.column(), 0) if lines.column() >= 0 else {}
        return found if found and lines.column() < 0 else None
    except _NotPlain:
        return None


class _Lines:
    """The lines of a text, taken one after the other by their column; what no level takes is not plain."""

    def __init__(self, text: str) -> None:
        self._lines = list(_lines(text))
        self._at = 0

    def column(self) -> int:
        """The column of the next line, -1 at the end."""
        return self._lines[self._at].column if self._at < len(self._lines) else -1

    def mapping(self, column: int, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        while self.column() == column and (key := self._lines[self._at].key) is not None:
            if key in found or key.lower() in _RESERVED or depth > DEPTH_MAX:
                raise _NotPlain
            value = self._lines[self._at].value
            self._at += 1
            found[key] = _scalar(value) if value else self._below(column, depth)
        return found

    def _below(self, column: int, depth: int) -> object:
        """What follows a key without a value: a mapping further in, a list that may stand below the key itself, or null."""
        following = self.column()
        if following < column or (following == column and not self._lines[self._at].is_item):
            return None
        if self._lines[self._at].is_item:
            return self._sequence(following, depth + 1)
        return self.mapping(following, depth + 1)

    def _sequence(self, column: int, depth: int) -> list[object]:
        found: list[object] = []
        while self.column() == column and self._lines[self._at].is_item:
            value = self._lines[self._at].value
            self._at += 1
            found.append(_scalar(value) if value else self.mapping(column + 2, depth + 1))
        return found


def _lines(text: str) -> Iterator[_Line]:
    for line in text.split("\n"):
        match = _LINE.match(line)
        assert match is not None
        indent, dash, key, value = match.groups()
        if not value.startswith(("'", '"')) and "#" in value:
            value = _uncommented(value, may_be_whole=key is not None or dash is None)
        column = len(indent)
        if key is None:
            if dash is None and not value.strip(" "):
                continue
            if dash is None or not value.strip(" "):
                raise _NotPlain
            yield _Line(column, True, None, value.rstrip(" "))
            continue
        if dash is not None:
            yield _Line(column, True, None, "")
            column += len(dash)
        yield _Line(column, False, key, value.rstrip(" "))


def _uncommented(value: str, *, may_be_whole: bool) -> str:
    """The value without the comment behind it; what stands alone, or behind a key, may be one from its first character on."""
    if value.startswith("#"):
        if may_be_whole:
            return ""
        raise _NotPlain
    match = _COMMENTED.match(value)
    if match is None:
        raise _NotPlain
    return match[1]


def _scalar(text: str) -> object:
    """A value on one line; what YAML takes for something else than it looks like is not plain."""
    if _WORD.match(text):
        if text.lower() not in _RESERVED:
            return text
        if text in _RESERVED:
            return None if text == "null" else text == "true"
    elif _WHOLE.match(text):
        return int(text)
    elif _FRACTION.match(text):
        return float(text)
    elif _HASH.match(text) and (text.endswith(".dir") or set(text) & set("acdf")):
        return text
    elif text.startswith(("'", '"')):
        return _quoted(text)
    elif text.startswith("[") and text.endswith("]"):
        return [_item(item) for item in text[1:-1].split(", ")] if text != "[]" else []
    elif text == "{}":
        return {}
    raise _NotPlain


def _quoted(text: str) -> str:
    """A text in quotes, without anything in it that has to be read twice but a doubled quote."""
    if single := _SINGLE.match(text):
        return single[1].replace("''", "'")
    if double := _DOUBLE.match(text):
        return double[1]
    raise _NotPlain


def _item(text: str) -> object:
    """A value in a list of one line."""
    if not _ITEM.match(text):
        raise _NotPlain
    return _scalar(text)
