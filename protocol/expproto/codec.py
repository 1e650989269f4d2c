"""Maps to bytes and back: the only place that imports msgpack, and the limits on everything that comes in.

Light core. What leaves `decode` is plain data within the limits below; what a message may hold is decided in
`messages`. Nothing of a refused body is kept.
"""

import msgpack

from expproto.errors import BAD_MESSAGE, RemoteProtocolError
from expproto.frames import FRAME_BYTES_MAX
from expproto.plain_codec import DEPTH_MAX, INTEGER_MAX, INTEGER_MIN, ITEMS_MAX

STRING_BYTES_MAX = FRAME_BYTES_MAX
"""A string or bytes value is bounded by its frame."""
VALUES_MAX = 2**18
"""Of all lists and maps of a message together; a page of entries has some thousands."""


def encode(message: dict[str, object]) -> bytes:
    """Pack one map; raises ValueError or TypeError for what the wire can't hold."""
    try:
        packed: bytes = msgpack.packb(message, use_bin_type=True)
    except OverflowError as error:
        raise ValueError(str(error)) from None
    return packed


def decode(body: bytes) -> dict[str, object]:
    """Unpack one map with text keys; raises RemoteProtocolError for anything else or beyond the limits."""
    budget = _Budget()
    try:
        value: object = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            use_list=True,
            object_pairs_hook=budget.mapping,
            list_hook=budget.sequence,
            ext_hook=_refuse_extension,
            max_array_len=ITEMS_MAX,
            max_map_len=ITEMS_MAX,
            max_str_len=STRING_BYTES_MAX,
            max_bin_len=STRING_BYTES_MAX,
            max_ext_len=0,
        )
    except RemoteProtocolError:
        raise
    except Exception as error:  # noqa: BLE001 - msgpack raises eight kinds, two of them bare ValueError; all mean this
        raise RemoteProtocolError(BAD_MESSAGE, f"not msgpack within the limits: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise RemoteProtocolError(BAD_MESSAGE, "a message is a map")
    _check(value, depth=1)
    return value


class _Budget:
    """Counts what one body unpacks to: an empty list is a byte in the frame, and fifty in memory."""

    def __init__(self) -> None:
        self._left = VALUES_MAX

    def sequence(self, values: list[object]) -> list[object]:
        """Take one list."""
        self._spend(len(values))
        return values

    def mapping(self, pairs: list[tuple[object, object]]) -> dict[object, object]:
        """Refuse a map that names a key twice: which one counts would depend on the reader."""
        self._spend(len(pairs))
        result = dict(pairs)
        if len(result) != len(pairs):
            raise RemoteProtocolError(BAD_MESSAGE, "a map names a key twice")
        for key in result:
            if type(key) is not str:
                raise RemoteProtocolError(BAD_MESSAGE, "a map key is text")
        return result

    def _spend(self, values: int) -> None:
        self._left -= 1 + values
        if self._left < 0:
            raise RemoteProtocolError(BAD_MESSAGE, f"more than {VALUES_MAX} values")


def _refuse_extension(code: int, data: bytes) -> object:
    raise RemoteProtocolError(BAD_MESSAGE, f"extension type {code} of {len(data)} bytes")


def _check(value: dict[str, object] | list[object], depth: int) -> None:
    """Bound the depth and the integers; msgpack itself allows 1,024 levels and 64-bit unsigned integers."""
    if value and depth >= DEPTH_MAX:
        raise RemoteProtocolError(BAD_MESSAGE, f"nested deeper than {DEPTH_MAX}")
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (dict, list)):
            _check(item, depth + 1)
        elif type(item) is int and not INTEGER_MIN <= item <= INTEGER_MAX:
            raise RemoteProtocolError(BAD_MESSAGE, "an integer outside 64 signed bits")
