"""Values as YAML text that YAML 1.2 and 1.1 read alike: the pipeline reads with one, most training scripts with the other.

So `1e-05` is written `1.0e-05`, and words such as `yes`, `012` or `12:30` are quoted where they are strings.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Final

from expd.prepare.overrides.errors import FormatFault
from expd.prepare.overrides.values import is_listing, is_mapping

# Letters first, then what cannot end or comment a plain scalar in any context; `: ` and ` #` cannot occur in it.
_PLAIN = re.compile(r"(?:\.{0,2}/)?[^\W\d](?:[\w./@%+ -]*[\w./@%+-])?")
_WORDS: Final = frozenset({"yes", "no", "on", "off", "true", "false", "null", "none"})
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
_INDENT: Final = 2


def scalar_text(value: object, style: str | None = None) -> str:
    """One value on one line; a string keeps the quotes of `style` if it had any and can."""
    if isinstance(value, str):
        return _string_text(value, style)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    raise FormatFault(f"a value of type {type(value).__name__} cannot be written")


def flow_text(value: object) -> str:
    """Any value on one line: `[1, 2]`, `{a: 1}`."""
    if is_mapping(value):
        return "{" + ", ".join(f"{scalar_text(key)}: {flow_text(item)}" for key, item in value.items()) + "}"
    if is_listing(value):
        return "[" + ", ".join(flow_text(item) for item in value) + "]"
    return scalar_text(value)


def entry_text(key: object, value: object, column: int, newline: str) -> str:
    """A key with its value in block style; the first line begins at the key, the others at `column` and deeper."""
    if not is_mapping(value) or not value:
        return f"{scalar_text(key)}: {flow_text(value)}"
    deeper = column + _INDENT
    lines = [" " * deeper + entry_text(below, item, deeper, newline) for below, item in value.items()]
    return newline.join([f"{scalar_text(key)}:", *lines])


def items_text(items: list[object], column: int, newline: str) -> str:
    """A list in block style whose dashes stand at `column`."""
    return (newline + " " * column).join(f"- {flow_text(item)}" for item in items)


def _string_text(text: str, style: str | None) -> str:
    if not all(char.isprintable() for char in text):
        return _double_quoted(text)
    if style == '"':
        return _double_quoted(text)
    if style != "'" and _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return "'" + text.replace("'", "''") + "'"


def _double_quoted(text: str) -> str:
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _float_text(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    # YAML 1.1 wants a point before an exponent, or reads a string.
    return text.replace("e", ".0e") if "e" in text and "." not in text else text
