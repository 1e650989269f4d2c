"""Changes written into JSON text: a new key takes the layout of its neighbour, everything else keeps its bytes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from expd.prepare.overrides.changes import Change, Delete, Insert
from expd.prepare.overrides.errors import FormatFault
from expd.prepare.overrides.splices import Splice, line_break, line_start
from expd.prepare.overrides.values import Path, is_container, is_listing, is_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_WORD = re.compile(r"[^\s,\]}]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaf:
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Array:
    start: int
    end: int
    items: tuple[_Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    key: str
    start: int
    key_end: int
    value: _Node


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    start: int
    end: int
    entries: tuple[_Entry, ...]

    def entry(self, step: object) -> _Entry | None:
        # Of two equal keys the last one counts for every reader.
        return next((entry for entry in reversed(self.entries) if entry.key == step), None)


_Node: TypeAlias = "_Leaf | _Array | _Object"


def load(text: str) -> object:
    """The tree that the text says; raises FormatFault."""
    try:
        tree: object = json.loads(text)
    except ValueError as error:
        raise FormatFault(str(error)) from None
    return tree


def splicer(text: str) -> Callable[[Change, object], Splice]:
    """What turns a change of this text into a splice."""
    root = _node(text, _skip(text, 0))
    if not isinstance(root, _Object):
        raise FormatFault("the file holds no named values", "its top level must be an object")

    def splice(change: Change, _wanted: object) -> Splice:
        if isinstance(change, Insert):
            return _insert(text, _find(root, change.path[:-1]), change)
        if isinstance(change, Delete):
            return _delete(_find(root, change.path[:-1]), change.path[-1])
        node = _find(root, change.path)
        return Splice(start=node.start, end=node.end, text=_replacement(text, node, change.value))

    return splice


def _skip(text: str, index: int) -> int:
    match = _SPACE.match(text, index)
    return match.end() if match else index


def _node(text: str, start: int) -> _Node:
    # The text has been read by the standard library before: here it is well formed.
    if text[start] == "{":
        return _object(text, start)
    if text[start] == "[":
        return _array(text, start)
    return _Leaf(start=start, end=_end(_STRING if text[start] == '"' else _WORD, text, start))


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    assert match is not None
    return match.end()


def _object(text: str, start: int) -> _Object:
    entries: list[_Entry] = []
    index = _skip(text, start + 1)
    while text[index] != "}":
        index = _skip(text, index + 1) if text[index] == "," else index
        key_end = _end(_STRING, text, index)
        value = _node(text, _skip(text, _skip(text, key_end) + 1))
        key: str = json.loads(text[index:key_end])
        entries.append(_Entry(key=key, start=index, key_end=key_end, value=value))
        index = _skip(text, value.end)
    return _Object(start=start, end=index + 1, entries=tuple(entries))


def _array(text: str, start: int) -> _Array:
    items: list[_Node] = []
    index = _skip(text, start + 1)
    while text[index] != "]":
        index = _skip(text, index + 1) if text[index] == "," else index
        items.append(_node(text, index))
        index = _skip(text, items[-1].end)
    return _Array(start=start, end=index + 1, items=tuple(items))


def _find(node: _Node, path: Path) -> _Node:
    for step in path:
        if isinstance(node, _Object) and (entry := node.entry(step)):
            node = entry.value
        elif isinstance(node, _Array) and isinstance(step, int):
            node = node.items[step]
        else:
            raise FormatFault(f"'{step}' is not where it was read")
    return node


def _insert(text: str, parent: _Node, change: Insert) -> Splice:
    assert isinstance(parent, _Object)
    key, value = json.dumps(change.path[-1], ensure_ascii=False), json.dumps(change.value, ensure_ascii=False)
    if not parent.entries:
        return Splice(start=parent.start + 1, end=parent.end - 1, text=f"{key}: {value}")
    last = parent.entries[-1]
    colon = text[last.key_end : last.value.start]
    return Splice(start=last.value.end, end=last.value.end, text=f",{_lead(text, parent)}{key}{colon}{value}")


def _lead(text: str, parent: _Object) -> str:
    """What stands before an entry of this object: a space, or a new line and its indentation, or nothing."""
    *_, last = parent.entries
    if len(parent.entries) > 1:
        return text[_skip(text, parent.entries[-2].value.end) + 1 : last.start]
    # One entry shows no comma; behind the bracket only a new line tells something, else the space behind the colon does.
    first = text[parent.start + 1 : last.start]
    return first if "\n" in first else " " * text[last.value.start - 1].isspace()


def _delete(parent: _Node, key: object) -> Splice:
    assert isinstance(parent, _Object)
    index = max(at for at, entry in enumerate(parent.entries) if entry.key == key)
    entry = parent.entries[index]
    if index:
        return Splice(start=parent.entries[index - 1].value.end, end=entry.value.end, text="")
    if len(parent.entries) > 1:
        return Splice(start=entry.start, end=parent.entries[1].start, text="")
    return Splice(start=parent.start + 1, end=parent.end - 1, text="")


def _replacement(text: str, node: _Node, value: object) -> str:
    """The value as text, over several lines and with the same indentation where the old value was."""
    inner = _first_inside(node)
    if not is_container(value) or not value or inner is None or "\n" not in text[node.start : inner]:
        return json.dumps(value, ensure_ascii=False)
    outer = line_start(text, node.start)
    base = text[outer : _skip(text, outer)]
    indent = text[line_start(text, inner) : inner].removeprefix(base)
    return json.dumps(value, ensure_ascii=False, indent=indent).replace("\n", line_break(text) + base)


def _first_inside(node: _Node) -> int | None:
    if isinstance(node, _Object) and node.entries:
        return node.entries[0].start
    return node.items[0].start if isinstance(node, _Array) and node.items else None


def with_string_keys(tree: object) -> object:
    """The tree as JSON can hold it: every key is a string."""
    if is_mapping(tree):
        return {_key(key): with_string_keys(value) for key, value in tree.items()}
    return [with_string_keys(item) for item in tree] if is_listing(tree) else tree


def _key(key: object) -> str:
    return key if isinstance(key, str) else json.dumps(key)
