"""The plainest form of a stage's block in dvc.lock, read and written without YAML, which takes most of the time of either.

Promise: what is read is what YAML 1.2 reads, and what is written is what ruamel.yaml writes, as DVC uses it. A block with
anything in it that needs a second thought (quotes within quotes, folded lines, comments, flow style, numbers with exponents)
is neither read nor written at all.
"""

import re
from collections.abc import Iterator, Mapping

_RESERVED = frozenset({"null", "true", "false"})
_WORD = r"[A-Za-z_][A-Za-z0-9_@./-]*"
_NAME = re.compile(rf"({_WORD}):\Z")
_KEY = re.compile(rf"{_WORD}\Z")
_PAIR = re.compile(rf"({_WORD}): (.+)\Z")
_TEXT = re.compile(r"[A-Za-z_/][ -~]*\Z")
_HASH = re.compile(r"[0-9a-f]{32}(?:\.dir)?\Z")
_QUOTED = re.compile(r"'([ -&(-~]*)'\Z")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+\Z")
_LINE_CHARACTERS_MAX = 80
"""A longer line may be folded, or begin on the next one."""
_KEY_CHARACTERS_MAX = 100
"""A much longer key is written with a question mark."""


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
    if _is_plain(text):
        return text
    if text in {"true", "false"}:
        return text == "true"
    if quoted := _QUOTED.match(text):
        return quoted[1]
    if _WHOLE.match(text):
        return int(text)
    if _FRACTION.match(text):
        return float(text)
    raise _NotPlain


def _is_plain(text: str) -> bool:
    """Whether a text without quotes is that text and nothing else, read or written."""
    if _HASH.match(text):
        return text.endswith(".dir") or bool(set(text) & set("acdf"))
    if not _TEXT.match(text) or text.endswith(" ") or ":" in text or "#" in text:
        return False
    return text.lower() not in _RESERVED


def plain_block(name: str, entry: Mapping[str, object]) -> str | None:
    """The block of a stage whose entry (LockEntry.to_data) this is, or None if it is not plain."""
    try:
        return f"  {_key(name)}:\n" + _written(entry, 4)
    except _NotPlain:
        return None


def plain_entry(entry: Mapping[str, object]) -> str | None:
    """An entry alone, or None if it is not plain."""
    try:
        return _written(entry, 0)
    except _NotPlain:
        return None


def _written(entry: Mapping[str, object], indent: int) -> str:
    lines = list[str]()
    for key, value in entry.items():
        if isinstance(value, list):
            lines.append(f"{key}:")
            lines += _written_items(value, indent)
        elif isinstance(value, Mapping):
            lines.append(f"{key}:")
            for file, values in value.items():
                lines.append(f"  {_key(file)}:")
                lines += [f"    {pair}" for pair in _written_pairs(values, indent + 4)]
        else:
            lines += _written_pairs({key: value}, indent)
    margin = " " * indent
    return "".join(f"{margin}{line}\n" for line in lines)


def _written_items(items: list[object], indent: int) -> Iterator[str]:
    """Each item with its dash; an empty list is written otherwise."""
    if not items:
        raise _NotPlain
    for item in items:
        if isinstance(item, Mapping):
            first, *rest = _written_pairs(item, indent + 2)
            yield f"- {first}"
            yield from (f"  {pair}" for pair in rest)
        else:
            yield f"- {_text_of(item, indent + 2)}"


def _written_pairs(values: object, indent: int) -> list[str]:
    if not isinstance(values, Mapping) or not values:
        raise _NotPlain
    return [f"{_key(key)}: {_text_of(value, indent + len(key) + 2)}" for key, value in values.items()]


def _key(key: object) -> str:
    if not isinstance(key, str) or not _KEY.match(key) or key.lower() in _RESERVED or len(key) > _KEY_CHARACTERS_MAX:
        raise _NotPlain
    return key


def _text_of(value: object, column: int) -> str:
    """How a value is written that begins in this column."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if type(value) is float and _FRACTION.match(repr(value)):
        return repr(value)
    if type(value) is str and _is_plain(value) and column + len(value) <= _LINE_CHARACTERS_MAX:
        return value
    raise _NotPlain
