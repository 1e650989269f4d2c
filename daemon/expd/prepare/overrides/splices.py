"""Replacing spans of a text, all of them at once, without touching anything between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Splice:
    """The characters from `start` up to `end` become `text`; an insertion has `start == end`."""

    start: int
    end: int
    text: str


def spliced(text: str, splices: Iterable[Splice]) -> str:
    """The text with as many of the splices as do not touch one another, earlier ones (by their order) first."""
    chosen: list[Splice] = []
    for splice in splices:
        if all(splice.end < other.start or other.end < splice.start for other in chosen):
            chosen.append(splice)
    for splice in sorted(chosen, key=lambda item: item.start, reverse=True):
        text = text[: splice.start] + splice.text + text[splice.end :]
    return text


def line_start(text: str, index: int) -> int:
    """Where the line that holds `index` begins."""
    return text.rfind("\n", 0, index) + 1


def line_end(text: str, index: int) -> int:
    """Where the line that holds `index` ends, before its line break."""
    end = text.find("\n", index)
    if end < 0:
        return len(text)
    return end - 1 if end > index and text[end - 1] == "\r" else end


def next_line(text: str, index: int) -> int:
    """Where the line after the one that holds `index` begins."""
    end = text.find("\n", index)
    return len(text) if end < 0 else end + 1


def line_break(text: str) -> str:
    """The line break that this text uses (the first one counts)."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"
