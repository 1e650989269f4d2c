"""The codec in plain Python, for short bodies: importing msgpack costs a client more than the rest of what it does.

Light core; imports nothing but the limits' neighbours. Gives the bytes that `codec` gives, and takes and refuses what
`codec` takes and refuses; a property test holds the two together. Format: github.com/msgpack/msgpack, spec.md.
"""

from __future__ import annotations

from expproto.errors import BAD_MESSAGE, RemoteProtocolError

DEPTH_MAX = 16
"""Our deepest message, a page of entries with parameters, nests seven levels; json.dumps dies at a thousand."""
ITEMS_MAX = 65_536
"""Elements of one array or map: an environment of 2 MiB has fewer variables, a page of entries has at most 500."""
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
"""SQLite's integers, which msgpack's unsigned ones exceed."""

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CONSTANTS: dict[int, object] = {0xC0: None, 0xC2: False, 0xC3: True}
_COUNTED = {
    0xC4: ("bin", 1), 0xC5: ("bin", 2), 0xC6: ("bin", 4),
    0xD9: ("str", 1), 0xDA: ("str", 2), 0xDB: ("str", 4),
    0xDC: ("array", 2), 0xDD: ("array", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip
"""What has its length in so many bytes after the first."""
_INTEGERS = {0xCC: (1, False), 0xCD: (2, False), 0xCE: (4, False), 0xCF: (8, False),
             0xD0: (1, True), 0xD1: (2, True), 0xD2: (4, True), 0xD3: (8, True)}  # fmt: skip
"""Bytes of an integer, and whether it is signed."""
_FLOATS = {0xCA: ">f", 0xCB: ">d"}
_FIXED = (("map", 0x80, 0x90), ("array", 0x90, 0xA0), ("str", 0xA0, 0xC0))
"""What has its length in the first byte itself."""


def encode(message: dict[str, object]) -> bytes:
    """Pack one map; raises ValueError or TypeError for what the wire can't hold."""
    parts: list[bytes] = []
    _put(message, parts.append)
    return b"".join(parts)


def _put(value: object, put: Callable[[bytes], None]) -> None:
    if isinstance(value, str):
        data = value.encode()
        put(_text_header(len(data)) + data)
    elif isinstance(value, bytes):
        put(_header(len(value), b"\xc4\xc5\xc6") + value)
    elif value is None or isinstance(value, bool):
        put(b"\xc0" if value is None else b"\xc3" if value else b"\xc2")
    elif isinstance(value, int):
        put(_integer(value))
    elif isinstance(value, list | tuple):
        _put_array(value, put)
    elif isinstance(value, dict):
        _put_map(value, put)
    elif isinstance(value, float):
        from _struct import pack  # noqa: PLC0415 - hardly any request holds one

        put(pack(">Bd", 0xCB, value))
    else:
        raise TypeError(f"can not serialize {type(value).__name__!r} object")


def _put_array(values: Sequence[object], put: Callable[[bytes], None]) -> None:
    count = len(values)
    put(bytes((0x90 | count,)) if count < 16 else _header(count, b"\xff\xdc\xdd"))
    for value in values:
        _put(value, put)


def _put_map(values: dict[object, object], put: Callable[[bytes], None]) -> None:
    count = len(values)
    put(bytes((0x80 | count,)) if count < 16 else _header(count, b"\xff\xde\xdf"))
    for key, value in values.items():
        _put(key, put)
        _put(value, put)


def _text_header(length: int) -> bytes:
    return bytes((0xA0 | length,)) if length < 32 else _header(length, b"\xd9\xda\xdb")


def _header(length: int, kinds: bytes) -> bytes:
    """Give the first byte and the length, in 1, 2 or 4 bytes; a kind of 0xff has no form that short."""
    if length < 1 << 8 and kinds[0] != 0xFF:
        return bytes((kinds[0], length))
    if length < 1 << 16:
        return kinds[1:2] + length.to_bytes(2, "big")
    return kinds[2:3] + length.to_bytes(4, "big")


def _integer(value: int) -> bytes:
    if -32 <= value < 128:
        return value.to_bytes(1, "big", signed=value < 0)
    kinds, signed = (b"\xd0\xd1\xd2\xd3", True) if value < 0 else (b"\xcc\xcd\xce\xcf", False)
    for kind, size in zip(kinds, (1, 2, 4, 8), strict=True):
        try:
            return bytes((kind,)) + value.to_bytes(size, "big", signed=signed)
        except OverflowError:
            continue
    raise ValueError("Integer value out of range")


def decode(body: bytes) -> dict[str, object]:
    """Unpack one map with text keys; raises RemoteProtocolError for anything else or beyond the limits."""
    try:
        value, end = _value(body, 0, 1)
    except (IndexError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(BAD_MESSAGE, f"not msgpack within the limits: {type(error).__name__}") from None
    if end != len(body):
        raise RemoteProtocolError(BAD_MESSAGE, "not msgpack within the limits: ExtraData")
    if not isinstance(value, dict):
        raise RemoteProtocolError(BAD_MESSAGE, "a message is a map")
    return value


def _value(body: bytes, at: int, depth: int) -> tuple[object, int]:
    """Give the value that begins at a place, and where the next one does."""
    if depth > DEPTH_MAX:
        raise RemoteProtocolError(BAD_MESSAGE, f"nested deeper than {DEPTH_MAX}")
    first, at = body[at], at + 1
    if first < 0x80 or first >= 0xE0:
        return (first if first < 0x80 else first - 0x100), at
    for kind, low, high in _FIXED:
        if low <= first < high:
            return _counted(body, at, depth, kind, first - low)
    if first in _COUNTED:
        kind, size = _COUNTED[first]
        return _counted(body, at + size, depth, kind, int.from_bytes(_slice(body, at, size), "big"))
    if first in _CONSTANTS:
        return _CONSTANTS[first], at
    return _number(body, at, first)


def _counted(body: bytes, at: int, depth: int, kind: str, count: int) -> tuple[object, int]:
    if kind == "str":
        return _slice(body, at, count).decode(), at + count
    if kind == "bin":
        return _slice(body, at, count), at + count
    if count > ITEMS_MAX:
        raise RemoteProtocolError(BAD_MESSAGE, f"not msgpack within the limits: {count} elements")
    return _array(body, at, depth, count) if kind == "array" else _map(body, at, depth, count)


def _array(body: bytes, at: int, depth: int, count: int) -> tuple[object, int]:
    values = list[object]()
    for _ in range(count):
        value, at = _value(body, at, depth + 1)
        values.append(value)
    return values, at


def _map(body: bytes, at: int, depth: int, count: int) -> tuple[object, int]:
    values = dict[str, object]()
    for _ in range(count):
        key, at = _value(body, at, depth + 1)
        if not isinstance(key, str):
            raise RemoteProtocolError(BAD_MESSAGE, "a map key is text")
        values[key], at = _value(body, at, depth + 1)
    if len(values) != count:
        raise RemoteProtocolError(BAD_MESSAGE, "a map names a key twice")
    return values, at


def _number(body: bytes, at: int, first: int) -> tuple[object, int]:
    if first in _FLOATS:
        from _struct import calcsize, unpack  # noqa: PLC0415 - only where a time or a metric comes

        size = calcsize(_FLOATS[first])
        return unpack(_FLOATS[first], _slice(body, at, size))[0], at + size
    if first not in _INTEGERS:
        raise RemoteProtocolError(BAD_MESSAGE, f"not msgpack within the limits: first byte {first:#x}")
    size, signed = _INTEGERS[first]
    value = int.from_bytes(_slice(body, at, size), "big", signed=signed)
    if value > INTEGER_MAX:
        raise RemoteProtocolError(BAD_MESSAGE, "an integer outside 64 signed bits")
    return value, at + size


def _slice(body: bytes, at: int, size: int) -> bytes:
    """Give so many bytes; raises IndexError where they are not there."""
    if at + size > len(body):
        raise IndexError
    return body[at : at + size]
