"""A YAML text as nodes that know where they stand: built from ruamel's events, which carry character positions.

Positions count characters of the text that was passed in. The library's own marks are off in three places, and corrected
here: an empty value is marked where the next token begins, a block scalar and a block collection reach over the blank lines
and comments behind them. Aliases are kept as aliases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ruamel.yaml import YAML, events
from ruamel.yaml.error import YAMLError

from expd.prepare.overrides.errors import FormatFault

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)+")
_COLON = re.compile(r"\s*:")
_DASH = re.compile(r"(?:\s|#[^\n]*\n)*-")
_BLANK_LINES = re.compile(r"(?:\r?\n[ \t]*)+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What every node knows of its place.

    `after` is the position behind the `:`, `-` or `,` that announces the node. `start` is where its anchor or tag begins,
    `body` where the value itself does.
    """

    after: int
    start: int
    body: int
    end: int
    anchor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarNode(_Place):
    """One value; `style` is its quote or block indicator, None for plain."""

    value: str
    style: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasNode(_Place):
    """`*anchor`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingNode(_Place):
    """Keys and values, in the text's order."""

    flow: bool
    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceNode(_Place):
    """Items, in the text's order."""

    flow: bool
    items: tuple[Node, ...]


Node: TypeAlias = "ScalarNode | AliasNode | MappingNode | SequenceNode"


def read_nodes(text: str) -> Node | None:
    """The root node, None for a text without a value; raises FormatFault for what is no YAML."""
    try:
        return _Reader(text, iter(YAML(typ="safe", pure=True, plug_ins=[]).parse(text))).document()
    except YAMLError as error:
        raise FormatFault(str(error)) from None


class _Reader:
    """Consumes events; each method returns when its node is complete."""

    def __init__(self, text: str, stream: Iterator[events.Event]) -> None:
        self._text = text
        self._stream = stream

    def document(self) -> Node | None:
        for event in self._stream:
            if isinstance(event, events.NodeEvent):
                return self._node(event, after=event.start_mark.index)
        return None

    def _node(self, event: events.Event, after: int) -> Node:
        match event:
            case events.MappingStartEvent():
                return self._mapping(event, after)
            case events.SequenceStartEvent():
                return self._sequence(event, after)
            case events.AliasEvent():
                start, end = event.start_mark.index, event.end_mark.index
                return AliasNode(after=after, start=start, body=start, end=end, anchor=event.anchor)
            case events.ScalarEvent():
                return self._scalar(event, after)
            case _:
                raise FormatFault(f"unexpected {type(event).__name__}")

    def _scalar(self, event: events.ScalarEvent, after: int) -> ScalarNode:
        start, end = event.start_mark.index, event.end_mark.index
        if start == end and not event.style:
            start = end = after
        if event.style in {"|", ">"}:
            end = start + len(_BLANK_LINES.sub("", self._text[start:end]))
        body = min(self._body(start), end)
        return ScalarNode(
            after=after, start=start, body=body, end=end, anchor=event.anchor, value=event.value, style=event.style
        )

    def _mapping(self, event: events.MappingStartEvent, after: int) -> MappingNode:
        flow, start = bool(event.flow_style), event.start_mark.index
        body = self._body(start)
        entries: list[tuple[Node, Node]] = []
        position = body
        while not isinstance(following := next(self._stream), events.MappingEndEvent):
            key = self._node(following, after=position)
            colon = _COLON.match(self._text, key.end)
            value = self._node(next(self._stream), after=colon.end() if colon else key.end)
            entries.append((key, value))
            position = value.end
        end = following.end_mark.index if flow or not entries else position
        return MappingNode(
            after=after, start=start, body=body, end=end, anchor=event.anchor, flow=flow, entries=tuple(entries)
        )

    def _sequence(self, event: events.SequenceStartEvent, after: int) -> SequenceNode:
        flow, start = bool(event.flow_style), event.start_mark.index
        body = self._body(start)
        items: list[Node] = []
        position = body
        while not isinstance(following := next(self._stream), events.SequenceEndEvent):
            item = self._node(following, after=self._after_dash(position, following.start_mark.index, flow=flow))
            items.append(item)
            position = item.end
        end = following.end_mark.index if flow or not items else position
        return SequenceNode(
            after=after, start=start, body=body, end=end, anchor=event.anchor, flow=flow, items=tuple(items)
        )

    def _body(self, start: int) -> int:
        properties = _PROPERTIES.match(self._text, start)
        return properties.end() if properties else start

    def _after_dash(self, position: int, mark: int, *, flow: bool) -> int:
        if flow:
            return mark
        dash = _DASH.match(self._text, position)
        return dash.end() if dash else mark
