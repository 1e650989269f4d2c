"""The plainest form of a stage's block in dvc.lock, read without a YAML parser, which takes most of the time of a check.

Promise: what is given is what YAML 1.2 gives. A block with anything in it that needs a second thought (quotes within quotes,
folded lines, comments, flow style, numbers with exponents) is not read at all.
"""

import re
from collections.abc import Iterator

_RESERVED = frozenset({"null", "true", "false"})
_WORD = r"[A-Za-z_][A-Za-z0-9_@./-]*"
_NAME = re.compile(rf"({_WORD}):\Z")
_PAIR = re.compile(rf"({_WORD}): (.+)\Z")
_TEXT = re.compile(r"[A-Za-z_/][ -~]*\Z")
_HASH = re.compile(r"[0-9a-f]{32}(?:\.dir)?\Z")
_QUOTED = re.compile(r"'([ -&(-~]*)'\Z")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+\Z")


class _NotPlain(Exception):
    """The block is one for the YAML parser."""


def parse_plain_block(block: str) -> dict[str, object] | None:
    """Stage name → its entry as plain data, or None if the block is not plain."""
    try:
        lines = _Lines(block)
        name, entry = _name(lines.take(2)), _entry(lines)
        return {name: entry} if lines.is_over() else None
    except _NotPlain:
        return None


class _Lines:
    """The lines of a block, taken one after the other by their indentation."""

    def __init__(self, block: str) -> None:
        self._lines = block.removesuffix("\n").split("\n")
        self._at = 0

    def is_over(self) -> bool:
        return self._at == len(self._lines)

    def take(self, indent: int) -> str:
        if self.is_over() or not self._is_at(indent):
            raise _NotPlain
        self._at += 1
        return self._lines[self._at - 1][indent:]

    def all_at(self, indent: int, prefix: str = "") -> Iterator[str]:
        """The lines that follow with this indentation; those that begin with another prefix end it."""
        while not self.is_over() and self._is_at(indent) and self._lines[self._at].startswith(prefix, indent):
            yield self.take(indent)

    def _is_at(self, indent: int) -> bool:
        line = self._lines[self._at]
        return line[:indent] == " " * indent and line[indent : indent + 1] not in {"", " "}


def _entry(lines: _Lines) -> dict[str, object]:
    found: dict[str, object] = {}
    for line in lines.all_at(4):
        key, _, rest = line.partition(":")
        if key in found or key not in {"cmd", "deps", "params", "outs"}:
            raise _NotPlain
        if rest:
            if key != "cmd":
                raise _NotPlain
            found[key] = _scalar(rest.removeprefix(" "))
        elif key == "cmd":
            found[key] = [_scalar(item[2:]) for item in lines.all_at(4, "- ")]
        else:
            found[key] = _params(lines) if key == "params" else _paths(lines)
        if not found[key]:
            raise _NotPlain
    return found


def _paths(lines: _Lines) -> list[dict[str, object]]:
    return [_pairs([item[2:], *lines.all_at(6)]) for item in lines.all_at(4, "- ")]


def _params(lines: _Lines) -> dict[str, object]:
    found: dict[str, object] = {}
    for file in lines.all_at(6):
        values = _pairs(lines.all_at(8))
        if not values or _name(file) in found:
            raise _NotPlain
        found[_name(file)] = values
    return found


def _pairs(lines: Iterator[str] | list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for line in lines:
        match = _PAIR.match(line)
        if match is None or match[1].lower() in _RESERVED or match[1] in found:
            raise _NotPlain
        found[match[1]] = _scalar(match[2])
    return found


def _name(line: str) -> str:
    match = _NAME.match(line)
    if match is None or match[1].lower() in _RESERVED:
        raise _NotPlain
    return match[1]


def _scalar(text: str) -> object:
    """A value on one line; what YAML takes for something else than it looks like is not plain."""
    if _TEXT.match(text) and not text.endswith(" ") and ":" not in text and "#" not in text:
        if text.lower() not in _RESERVED:
            return text
        if text in {"true", "false"}:
            return text == "true"
    elif _HASH.match(text) and (text.endswith(".dir") or set(text) & set("acdf")):
        return text
    elif quoted := _QUOTED.match(text):
        return quoted[1]
    elif _WHOLE.match(text):
        return int(text)
    elif _FRACTION.match(text):
        return float(text)
    raise _NotPlain
