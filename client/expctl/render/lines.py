"""Records for programs: one a line, fields separated by tabs, nothing cut, no heading, no colour.

A tab or a line break inside a field would make two of one, so control characters are written as visible escapes.
"""

from __future__ import annotations

from expctl.render.terminal import visible

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def lines(records: Iterable[Sequence[str]]) -> str:
    """Give records, one a line."""
    return "".join("\t".join(map(visible, record)) + "\n" for record in records)


def value_text(value: object) -> str:
    """Write a parameter or metric as YAML would: true, null, 0.1, [1, 2], text as it is."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case bytes():
            return repr(value)[2:-1]
        case list() | tuple():
            return "[" + ", ".join(map(value_text, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{key}: {value_text(item)}" for key, item in value.items()) + "}"
        case _:
            return repr(value)


def pairs_text(values: Mapping[str, object]) -> str:
    """Write parameters or metrics in one field: `train.lr=0.1 train.epochs=5`."""
    return " ".join(f"{key}={value_text(value)}" for key, value in values.items())


def trouble_words(trouble: str) -> str:
    """Say that the daemon starts nothing for a reason of its own, and that nothing has to be done but to mend that."""
    return f"nothing is started: {visible(trouble)}; it goes on by itself when that is over"
