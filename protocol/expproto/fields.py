"""Dataclass ↔ map, checked: every field is there, of its type, and nothing else is.

The checks are built once a class from its annotations. Supported are None, bool, int, float, str, bytes, string
enums, NewTypes of these, unions, `tuple[T, ...]`, `tuple[A, B]`, `Mapping[str, T]`, other records, and `object`
for plain data. A field with a default may be absent, which is how a message grows without a new protocol version.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeVar

from expproto.errors import BAD_MESSAGE, RemoteProtocolError

R = TypeVar("R")

Check = Callable[[object], object]
"""Takes what came off the wire, gives the typed value, or raises RemoteProtocolError."""


def to_map(record: object) -> dict[str, object]:
    """Turn a record into a map of plain data: its kind and its fields."""
    result: dict[str, object] = {"kind": kind_of(type(record))}
    for name in _field_names(type(record)):
        result[name] = _plain(getattr(record, name))
    return result


def from_map(record_type: type[R], value: object) -> R:
    """Build a record from a map; raises RemoteProtocolError naming the field that is missing, unknown or wrong."""
    record = _record_check(record_type)(value)
    assert isinstance(record, record_type)
    return record


def kind_of(record_type: type[object]) -> str:
    """Give the word that tells the classes of a union apart on the wire."""
    kind: object = getattr(record_type, "kind", None)
    assert isinstance(kind, str), f"{record_type.__name__} has no kind"
    return kind


def _wrong(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(BAD_MESSAGE, what)


_AS_THEY_ARE = frozenset({str, int, float, bool, bytes, type(None)})
_LISTS = frozenset({tuple, list})
_names: dict[type[object], tuple[str, ...]] = {}
_checks: dict[type[object], Check] = {}


def _field_names(record_type: type[object]) -> tuple[str, ...]:
    if record_type not in _names:
        assert dataclasses.is_dataclass(record_type)
        _names[record_type] = tuple(field.name for field in dataclasses.fields(record_type))
    return _names[record_type]


def _plain(value: object) -> object:
    """Give plain data; by exact types first, since nearly every value is a short text in a list or a map of its own."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind in _LISTS:
        assert isinstance(value, tuple | list)
        return [item if type(item) in _AS_THEY_ARE else _plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return to_map(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, StrEnum):
        return str(value)
    return value


def _record_check(record_type: type[object]) -> Check:
    if record_type not in _checks:
        _checks[record_type] = _new_record_check(record_type)
    return _checks[record_type]


def _new_record_check(record_type: type[object]) -> Check:
    assert dataclasses.is_dataclass(record_type)
    hints = typing.get_type_hints(record_type)
    checks = {field.name: _check_of(hints[field.name]) for field in dataclasses.fields(record_type)}
    required = {
        field.name
        for field in dataclasses.fields(record_type)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    kind = kind_of(record_type)

    def check(value: object) -> object:
        if not isinstance(value, Mapping) or value.get("kind") != kind:
            raise _wrong(f"expected a map of kind {kind}")
        given = {str(name): item for name, item in value.items() if name != "kind"}
        if unknown := given.keys() - checks.keys():
            raise _wrong(f"{kind} has no field {min(unknown)[:80]!r}")
        if missing := required - given.keys():
            raise _wrong(f"{kind} lacks its field {min(missing)!r}")
        return record_type(**{name: _named(kind, name, checks[name], item) for name, item in given.items()})

    return check


def _named(kind: str, name: str, check: Check, value: object) -> object:
    try:
        return check(value)
    except RemoteProtocolError as error:
        raise _wrong(f"{kind}.{name}: {error.what}") from None


def _check_of(hint: object) -> Check:
    """Choose the check for one annotation."""
    if isinstance(hint, typing.NewType):
        return _check_of(hint.__supertype__)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:  # a NewType's `|` gives the latter
        return _union_check(typing.get_args(hint))
    origin = typing.get_origin(hint)
    if origin is tuple:
        return _tuple_check(typing.get_args(hint))
    if origin is Mapping:
        return _mapping_check(_check_of(typing.get_args(hint)[1]))
    assert isinstance(hint, type), f"no wire form for {hint!r}"
    if dataclasses.is_dataclass(hint):
        return _record_check(hint)
    if issubclass(hint, StrEnum):
        return _enum_check(hint)
    return _SCALARS[hint]


def _union_check(options: tuple[object, ...]) -> Check:
    """Records of a union are told apart by kind; the scalars of one by trying each."""
    records = {kind_of(option): option for option in options if _is_record(option) and isinstance(option, type)}
    scalars = [_check_of(option) for option in options if not _is_record(option)]

    def check(value: object) -> object:
        kind = value.get("kind") if isinstance(value, Mapping) else None
        if isinstance(kind, str) and kind in records:
            return _record_check(records[kind])(value)
        for scalar in scalars:
            try:
                return scalar(value)
            except RemoteProtocolError:
                continue
        raise _wrong(f"unexpected {type(value).__name__}")

    return check


def _is_record(option: object) -> bool:
    return isinstance(option, type) and dataclasses.is_dataclass(option)


def _tuple_check(arguments: tuple[object, ...]) -> Check:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item_check = _check_of(arguments[0])
        return lambda value: tuple([item_check(item) for item in _sequence(value)])
    checks = [_check_of(argument) for argument in arguments]

    def check(value: object) -> object:
        items = _sequence(value)
        if len(items) != len(checks):
            raise _wrong(f"expected {len(checks)} elements, found {len(items)}")
        return tuple([item_check(item) for item_check, item in zip(checks, items, strict=True)])

    return check


def _sequence(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _wrong(f"expected an array, found {type(value).__name__}")
    return value


def _mapping_check(item_check: Check) -> Check:
    def check(value: object) -> object:
        if not isinstance(value, Mapping):
            raise _wrong(f"expected a map, found {type(value).__name__}")
        return {str(key): item_check(item) for key, item in value.items()}

    return check


def _enum_check(enum_type: type[StrEnum]) -> Check:
    def check(value: object) -> object:
        if isinstance(value, str) and value in enum_type.__members__.values():
            return enum_type(value)
        raise _wrong(f"not a {enum_type.__name__}")

    return check


def _exactly(expected: type[object]) -> Check:
    """Booleans are no integers here: type identity, not isinstance."""

    def check(value: object) -> object:
        if type(value) is not expected:
            raise _wrong(f"expected {expected.__name__}, found {type(value).__name__}")
        return value

    return check


def _float(value: object) -> object:
    if type(value) is float or type(value) is int:
        return float(value)
    raise _wrong(f"expected float, found {type(value).__name__}")


_SCALARS: dict[type[object], Check] = {
    type(None): _exactly(type(None)),
    bool: _exactly(bool),
    int: _exactly(int),
    float: _float,
    str: _exactly(str),
    bytes: _exactly(bytes),
    object: lambda value: value,
}
