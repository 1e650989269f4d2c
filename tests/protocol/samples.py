"""Every message there is: one fixed sample of each, and a hypothesis strategy for the rest. Both follow the annotations."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import StrEnum

from hypothesis import strategies as st

from expproto.codec import decode, encode
from expproto.messages import MESSAGES, Message, message_from_map, message_to_map

Strategy = st.SearchStrategy[object]

_FIXED: dict[object, object] = {
    type(None): None,
    bool: True,
    int: 300,
    float: 1.5,
    str: "h\u00e9",
    bytes: b"\x00\xff",
    object: ["a", {"b": [None, -1, 0.5]}],
}
_PLAIN: Strategy = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_SCALARS: dict[object, Strategy] = {
    type(None): st.none(),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=20),
    bytes: st.binary(max_size=20),
    object: _PLAIN,
}


def fixed_samples() -> dict[str, Message]:
    """Give one message of each kind, the same in every run."""
    return {kind: _checked(_fixed(message_type)) for kind, message_type in sorted(MESSAGES.items())}


def messages() -> st.SearchStrategy[Message]:
    """Give any message."""
    return st.one_of([_strategy(message_type) for message_type in MESSAGES.values()]).map(_checked)


def _checked(message: object) -> Message:
    assert isinstance(message, Message)
    return message


def _fixed(hint: object) -> object:
    """Give the longest form a field can have: of a union the first alternative, of an array one element."""
    if isinstance(hint, typing.NewType):
        return _fixed(hint.__supertype__)
    arguments = typing.get_args(hint)
    if _is_union(hint):
        return _fixed(arguments[0])
    if typing.get_origin(hint) is tuple:
        return tuple(_fixed(argument) for argument in arguments if argument is not Ellipsis)
    if typing.get_origin(hint) is Mapping:
        return {"key": _fixed(arguments[1])}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint(**{name: _fixed(field) for name, field in _hints(hint).items()})
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return next(iter(hint))
    return _FIXED[hint]


def _strategy(hint: object) -> Strategy:
    if isinstance(hint, typing.NewType):
        return _strategy(hint.__supertype__)
    arguments = typing.get_args(hint)
    if _is_union(hint):
        return st.one_of([_strategy(argument) for argument in arguments])
    if typing.get_origin(hint) is tuple and arguments[-1] is Ellipsis:
        return st.lists(_strategy(arguments[0]), max_size=3).map(tuple)
    if typing.get_origin(hint) is tuple:
        return st.tuples(*map(_strategy, arguments))
    if typing.get_origin(hint) is Mapping:
        return st.dictionaries(st.text(max_size=5), _strategy(arguments[1]), max_size=3)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return st.builds(hint, **{name: _strategy(field) for name, field in _hints(hint).items()})
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    return _SCALARS[hint]


def _is_union(hint: object) -> bool:
    return isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union


def _hints(record_type: type[object]) -> dict[str, object]:
    assert dataclasses.is_dataclass(record_type)
    hints = typing.get_type_hints(record_type)
    return {field.name: hints[field.name] for field in dataclasses.fields(record_type)}


def round_trip(message: Message) -> Message:
    """Give what arrives of a message."""
    return message_from_map(decode(encode(message_to_map(message))))
