"""Changes written into TOML text: a changed value keeps its line, a new key stands behind the last one of its table.

A table that is replaced by something else goes piece by piece, one piece a call; the caller compares and asks again.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING, Final

import tomli

from expd.pipeline.toml_nodes import Array, Entry, Inline, Node, Section, UnreadableToml, read_sections
from expd.prepare.overrides.changes import Change, Delete, Insert
from expd.prepare.overrides.errors import FormatFault
from expd.prepare.overrides.splices import Splice, line_break, line_end, line_start, next_line
from expd.prepare.overrides.values import Path, is_listing, is_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def load(text: str) -> object:
    """The tree that the text says; raises FormatFault."""
    try:
        return tomli.loads(text)
    except ValueError as error:
        raise FormatFault(str(error)) from None


def splicer(text: str) -> Callable[[Change, object], Splice]:
    """What turns a change of this text into a splice."""
    try:
        editor = _Editor(text, read_sections(text))
    except UnreadableToml as unreadable:
        raise FormatFault(unreadable.problem) from None

    def splice(change: Change, _wanted: object) -> Splice:
        return editor.splice(change)

    return splice


def value_text(value: object, old: str = "") -> str:
    """Any value on one line; a string stays in single quotes if `old` was, and it can."""
    if is_mapping(value):
        return "{" + ", ".join(f"{_key_text(key)} = {value_text(item)}" for key, item in value.items()) + "}"
    if is_listing(value):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and (math.isinf(value) or math.isnan(value)):
        return str(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _string_text(value, old)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if value is None:
        raise FormatFault("TOML has no null", "delete the key with ~key, or use an empty string")
    raise FormatFault(f"a value of type {type(value).__name__} cannot be written")


def _string_text(text: str, old: str) -> str:
    if old.startswith("'") and "'" not in text and text.isprintable():
        return f"'{text}'"
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES or char.isprintable():
        return _ESCAPES.get(char, char)
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _dotted(path: Path) -> str:
    return ".".join(_key_text(step) for step in path)


def _key_text(key: object) -> str:
    return str(key) if _BARE_KEY.fullmatch(str(key)) else _string_text(str(key), "")


class _Editor:
    """One text and its sections."""

    def __init__(self, text: str, sections: list[Section]) -> None:
        self._text = text
        self._sections = sections

    def splice(self, change: Change) -> Splice:
        if isinstance(change, Insert):
            return self._insert(change.path, change.value)
        if isinstance(change, Delete):
            return self._delete(change.path)
        node = self._value(change.path)
        if node is None:
            # A table becomes a value: its lines go, and the value comes as a new key.
            return self._delete(change.path)
        return Splice(start=node.start, end=node.end, text=value_text(change.value, self._text[node.start : node.end]))

    def _value(self, path: Path) -> Node | None:
        """The value that is written out at exactly this path."""
        for section in self._sections:
            for entry in section.entries:
                whole = section.path + entry.path
                if path[: len(whole)] == whole:
                    return _inside(entry.value, path[len(whole) :])
        return None

    def _inline(self, path: Path) -> tuple[Inline, Path] | None:
        """The innermost `{…}` on the way to this path, and the rest of the way from there."""
        for section in self._sections:
            for entry in section.entries:
                whole = section.path + entry.path
                if _starts_with(path, whole) and len(path) > len(whole):
                    return _innermost(entry.value, path[len(whole) :])
        return None

    def _insert(self, path: Path, value: object) -> Splice:
        inside = self._inline(path)
        if inside is not None:
            return self._insert_inline(inside[0], f"{_dotted(inside[1])} = {value_text(value)}")
        section = next((section for section in self._sections if section.path == path[:-1]), None)
        if section is not None:
            return self._insert_line(section, None, path, value)
        for section in self._sections:
            if not _starts_with(path[:-1], section.path):
                continue
            beside = [entry for entry in section.entries if _starts_with(section.path + entry.path, path[:-1])]
            if beside:
                return self._insert_line(section, beside[-1], path, value)
        return self._insert_section(path, value)

    def _insert_inline(self, parent: Inline, entry: str) -> Splice:
        if not parent.entries:
            return Splice(start=parent.start, end=parent.end, text="{" + entry + "}")
        at = parent.entries[-1].value.end
        return Splice(start=at, end=at, text=f", {entry}")

    def _insert_line(self, section: Section, beside: Entry | None, path: Path, value: object) -> Splice:
        line, newline = f"{_dotted(path[len(section.path) :])} = {value_text(value)}", line_break(self._text)
        last = beside or (section.entries[-1] if section.entries else None)
        if last is None and not section.path:
            return self._insert_first(line, newline)
        indent = self._indent(last.start if last else section.start)
        at = line_end(self._text, last.value.end if last else section.header_end)
        return Splice(start=at, end=at, text=newline + indent + line)

    def _insert_first(self, line: str, newline: str) -> Splice:
        """The first key without a table: before the first header and the comments directly above that."""
        if len(self._sections) == 1:
            lead = newline if self._text and not self._text.endswith("\n") else ""
            return Splice(start=len(self._text), end=len(self._text), text=lead + line + newline)
        at = self._above(self._sections[1])
        return Splice(start=at, end=at, text=line + newline * 2)

    def _insert_section(self, path: Path, value: object) -> Splice:
        """The header of a table that so far exists only through tables inside it."""
        below = next((section for section in self._sections if _starts_with(section.path, path[:-1])), None)
        if below is None:
            raise FormatFault("its table is not where it was read")
        at, newline = self._above(below), line_break(self._text)
        header = ".".join(_key_text(step) for step in path[:-1] if isinstance(step, str))
        lines = [f"[{header}]", f"{_key_text(path[-1])} = {value_text(value)}", "", ""]
        return Splice(start=at, end=at, text=newline.join(lines))

    def _above(self, section: Section) -> int:
        at = line_start(self._text, section.start)
        while at and self._text[line_start(self._text, at - 1) : at].lstrip().startswith("#"):
            at = line_start(self._text, at - 1)
        return at

    def _delete(self, path: Path) -> Splice:
        inside = self._inline(path)
        if inside is not None:
            return _delete_inline(*inside)
        for section in reversed(self._sections):
            if section.path and _starts_with(section.path, path):
                return self._without_lines(section.start, section.end)
            for entry in section.entries:
                if _starts_with(section.path + entry.path, path):
                    return self._without_lines(entry.start, entry.value.end)
        raise FormatFault("it is not where it was read")

    def _without_lines(self, start: int, end: int) -> Splice:
        return Splice(start=line_start(self._text, start), end=next_line(self._text, end), text="")

    def _indent(self, index: int) -> str:
        return self._text[line_start(self._text, index) : index]


def _inside(node: Node, path: Path) -> Node | None:
    if not path:
        return node
    if isinstance(node, Array) and isinstance(path[0], int):
        return _inside(node.items[path[0]], path[1:])
    if isinstance(node, Inline):
        for entry in node.entries:
            if _starts_with(path, entry.path):
                return _inside(entry.value, path[len(entry.path) :])
    return None


def _innermost(node: Node, path: Path) -> tuple[Inline, Path] | None:
    if isinstance(node, Array) and isinstance(path[0], int) and len(path) > 1:
        return _innermost(node.items[path[0]], path[1:])
    if not isinstance(node, Inline):
        return None
    for entry in node.entries:
        if _starts_with(path, entry.path) and len(path) > len(entry.path):
            return _innermost(entry.value, path[len(entry.path) :])
    return node, path


def _delete_inline(parent: Inline, path: Path) -> Splice:
    index = max(at for at, entry in enumerate(parent.entries) if _starts_with(entry.path, path))
    entry = parent.entries[index]
    if index:
        return Splice(start=parent.entries[index - 1].value.end, end=entry.value.end, text="")
    if len(parent.entries) > 1:
        return Splice(start=entry.start, end=parent.entries[1].start, text="")
    return Splice(start=parent.start, end=parent.end, text="{}")


def _starts_with(path: Path, head: Path) -> bool:
    return path[: len(head)] == head
