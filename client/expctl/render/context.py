"""In what a run took place, as facts: what it is, its key, its value.

Notes come from elsewhere too: a context of another version is shown as far as it is understood, and nothing is believed
of it but that it is plain data.
"""

from collections.abc import Iterator, Mapping

from expctl.render.lines import value_text
from expctl.render.times import iso

_TIMES = frozenset({"started_at", "ended_at"})
_LISTS = {"packages": "package", "environment": "variable", "gpus": "gpu", "stages": "stage"}
"""Lists, and what one of them is called: each has a record of its own."""


def facts(context: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    """Give a record a fact; lists after everything else."""
    listed: list[tuple[str, str, object]] = []
    for key, value in _flat(context, ""):
        last = key.rpartition(".")[2]
        if last in _LISTS and isinstance(value, list | tuple):
            listed += [(_LISTS[last], *_item(item)) for item in value]
        else:
            yield "context", key, _value_text(last, value)
    for kind, name, about in listed:
        yield kind, name, value_text(about) if about != {} else ""


def _flat(value: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    """Give dotted keys and values; `kind` is the wire's affair, and overrides are one value."""
    for key, item in value.items():
        if isinstance(item, Mapping) and key != "overrides":
            yield from _flat(item, f"{prefix}{key}.")
        elif key != "kind":
            yield prefix + key, item


def _item(item: object) -> tuple[str, object]:
    """Give an item of a list as a name and the rest of it."""
    if not isinstance(item, Mapping):
        return value_text(item), {}
    return value_text(item.get("name")), {key: value for key, value in item.items() if key not in {"kind", "name"}}


def _value_text(key: str, value: object) -> str:
    if key in _TIMES and isinstance(value, float | int):
        return iso(value) or ""
    return value_text(value)
