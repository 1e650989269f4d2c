"""The plainest form of a stage's block in dvc.lock, written without YAML, which takes most of the time of it.

Promise: what is written is what ruamel.yaml writes, as DVC uses it. A block with anything in it that needs a second thought
(quotes, folded lines, numbers with exponents) is not written at all. `plainyaml` reads such blocks.
"""

import re
from collections.abc import Iterator, Mapping

_RESERVED = frozenset({"null", "true", "false"})
_WORD = r"[A-Za-z_][A-Za-z0-9_@./-]*"
_KEY = re.compile(rf"{_WORD}\Z")
_TEXT = re.compile(r"[A-Za-z_/][ -~]*\Z")
_HASH = re.compile(r"[0-9a-f]{32}(?:\.dir)?\Z")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+\Z")
_LINE_CHARACTERS_MAX = 80
"""A longer line may be folded, or begin on the next one."""
_KEY_CHARACTERS_MAX = 100
"""A much longer key is written with a question mark."""


class _NotPlain(Exception):
    """The block is one for the YAML parser."""


def _is_plain(text: str) -> bool:
    """Whether a text without quotes is that text and nothing else."""
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
