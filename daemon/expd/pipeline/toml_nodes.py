"""A TOML text as sections, entries and values that know where they stand.

The text has been read by tomli before, so this reader checks nothing; what it finds is checked afterwards, when the changed
text is read by tomli again and compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

import tomli

Path: TypeAlias = "tuple[object, ...]"

_SPACE = re.compile(r"[ \t]*")
_SPACE_AND_COMMENTS = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*""")
_LEAF = re.compile(
    r'''"""(?:\\.|[^\\])*?""""{0,2}'''  # up to two more quotes belong to the text
    r"""|\'\'\'.*?\'\'\'\'{0,2}"""
    r'''|"(?:[^"\\]|\\.)*"'''
    r"""|'[^']*'"""
    r"""|\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]+"""  # a date and a time may be parted by a space
    r"""|[^\s,\]}#]+""",
    re.DOTALL,
)


class UnreadableToml(Exception):
    """A text that tomli accepts and this reader does not: `problem`."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A value without parts."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """`[…]`."""

    start: int
    end: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`key = value`; a dotted key is a path of several steps."""

    path: Path
    start: int
    value: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """`{…}`."""

    start: int
    end: int
    entries: tuple[Entry, ...]


Node: TypeAlias = "Leaf | Array | Inline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A header with its entries; the first section of a text has neither header nor path.

    `path` is where the section's table stands in the tree: `[[x]]` adds the index of the new item.
    """

    path: Path
    start: int
    header_end: int
    entries: tuple[Entry, ...]

    @property
    def end(self) -> int:
        """Where the last thing that belongs to the section ends."""
        return self.entries[-1].value.end if self.entries else self.header_end


def read_sections(text: str) -> list[Section]:
    """The sections of a text that tomli accepts; raises UnreadableToml."""
    reader = _Reader(text)
    try:
        return list(reader.sections())
    except IndexError:
        raise UnreadableToml("the text ends in the middle of a value") from None


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._items: dict[Path, int] = {}  # how many items each array of tables has so far

    def sections(self) -> list[Section]:
        sections: list[Section] = []
        path: Path = ()
        start = header_end = 0
        while True:
            entries, index = self._entries(header_end)
            sections.append(Section(path=path, start=start, header_end=header_end, entries=tuple(entries)))
            if index >= len(self._text):
                return sections
            start = index
            path, header_end = self._header(index)

    def _entries(self, index: int) -> tuple[list[Entry], int]:
        entries: list[Entry] = []
        index = self._skip_lines(index)
        while index < len(self._text) and self._text[index] != "[":
            entry = self._entry(index)
            entries.append(entry)
            index = self._skip_lines(entry.value.end)
        return entries, index

    def _header(self, index: int) -> tuple[Path, int]:
        is_item = self._text.startswith("[[", index)
        names, end = self._key(index + (2 if is_item else 1))
        return self._table_path(names, is_item=is_item), end + (2 if is_item else 1)

    def _table_path(self, names: Path, *, is_item: bool) -> Path:
        path: Path = ()
        for depth, name in enumerate(names, start=1):
            path = (*path, name)
            if is_item and depth == len(names):
                self._items[path] = self._items.get(path, 0) + 1
            if path in self._items:
                path = (*path, self._items[path] - 1)
        return path

    def _entry(self, index: int) -> Entry:
        path, end = self._key(index)
        return Entry(path=path, start=index, value=self._value(self._skip_space(end + 1)))

    def _key(self, index: int) -> tuple[Path, int]:
        path: list[object] = []
        while match := _KEY_PART.match(self._text, index):
            path.append(_unquoted(match[1]))
            index = match.end()
            if not self._text.startswith(".", index):
                return tuple(path), index
            index += 1
        raise UnreadableToml(f"no key at character {index}")

    def _value(self, index: int) -> Node:
        if self._text[index] == "[":
            return self._array(index)
        if self._text[index] == "{":
            return self._inline(index)
        match = _LEAF.match(self._text, index)
        if match is None:
            raise UnreadableToml(f"no value at character {index}")
        return Leaf(start=index, end=match.end())

    def _array(self, start: int) -> Array:
        items: list[Node] = []
        index = self._skip_lines(start + 1)
        while self._text[index] != "]":
            items.append(self._value(index))
            index = self._past_comma(items[-1].end)
        return Array(start=start, end=index + 1, items=tuple(items))

    def _inline(self, start: int) -> Inline:
        entries: list[Entry] = []
        index = self._skip_lines(start + 1)
        while self._text[index] != "}":
            entries.append(self._entry(index))
            index = self._past_comma(entries[-1].value.end)
        return Inline(start=start, end=index + 1, entries=tuple(entries))

    def _past_comma(self, index: int) -> int:
        index = self._skip_lines(index)
        return self._skip_lines(index + 1) if self._text[index] == "," else index

    def _skip_lines(self, index: int) -> int:
        match = _SPACE_AND_COMMENTS.match(self._text, index)
        return match.end() if match else index

    def _skip_space(self, index: int) -> int:
        match = _SPACE.match(self._text, index)
        return match.end() if match else index


def _unquoted(word: str) -> object:
    if word[0] not in "\"'":
        return word
    return next(iter(tomli.loads(f"{word} = 0")))


def offset_of(text: str, where: Path) -> int | None:
    """Where the value at `where` begins, or the nearest thing around it; a table begins with the first of its parts."""
    found: dict[int, int] = {}
    try:
        sections = read_sections(text)
    except UnreadableToml:
        return None
    for section in sections:
        _note(found, section.path, section.start, where)
        for entry in section.entries:
            _note_entry(found, section.path, entry, where)
    found.pop(0, None)
    return found[max(found)] if found else None


def _note(found: dict[int, int], path: Path, start: int, where: Path) -> None:
    """Remember, for each depth, the first thing that lies on the way to `where`, or below it."""
    depth = min(len(path), len(where))
    if path[:depth] == where[:depth]:
        found.setdefault(depth, start)


def _note_entry(found: dict[int, int], base: Path, entry: Entry, where: Path) -> None:
    path = (*base, *entry.path)
    _note(found, path, entry.start, where)
    if path == where[: len(path)]:
        _note_parts(found, path, entry.value, where)


def _note_parts(found: dict[int, int], path: Path, value: Node, where: Path) -> None:
    if isinstance(value, Inline):
        for entry in value.entries:
            _note_entry(found, path, entry, where)
    elif isinstance(value, Array):
        for index, item in enumerate(value.items):
            below = (*path, index)
            _note(found, below, item.start, where)
            if below == where[: len(below)]:
                _note_parts(found, below, item, where)
