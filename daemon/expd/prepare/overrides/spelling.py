"""Values as the override grammar spells them, so that each point of a sweep can be shown, stored and typed again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from expd.prepare.overrides.grammar import scalar

if TYPE_CHECKING:
    from expd.prepare.overrides.values import Value

_BARE = re.compile(r"[A-Za-z0-9_./+%@?|*:-]+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_./+%@?|*-]+")
# A backslash counts only before a quote, also the closing one; there it is doubled, and the quote gets one of its own.
_BEFORE_QUOTE = re.compile(r"(\\*)'")


def value_text(value: Value) -> str:
    """The text that the grammar reads back as this value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) and scalar(value) == value else _quoted(value)
    if isinstance(value, list):
        return "[" + ",".join(value_text(item) for item in value) + "]"
    return "{" + ",".join(f"{_key_text(key)}:{value_text(item)}" for key, item in value.items()) + "}"


def _quoted(text: str) -> str:
    if not text:
        return "''"
    escaped = _BEFORE_QUOTE.sub(lambda match: match[1] * 2 + r"\'", text)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{chr(92) * trailing}'"


def _key_text(key: object) -> str:
    # The grammar knows no quoted keys; it escapes what is special to it.
    if isinstance(key, str) and not _BARE_KEY.fullmatch(key):
        return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", key)
    return "null" if key is None else str(key)
