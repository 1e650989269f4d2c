"""How many values a body holds, counted on its headers before anything is made of it.

A value takes one byte on the wire and sixty in memory: four megabytes of the smallest would be 270 MB. So the daemon,
which reads what anybody of its user may have written, counts first. Format: github.com/msgpack/msgpack, spec.md.
"""

from expproto.errors import BAD_MESSAGE, RemoteProtocolError
from expproto.plain_codec import DEPTH_MAX

VALUES_MAX = 262_144
"""Of one body: as many variables as an environment may have elements (65,536), each a pair with its name and value, fit."""

_SKIP = {
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
    0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip
"""First byte → bytes behind it: constants, numbers, and extensions of a fixed length."""
_SIZED = {
    0xC4: (1, 0),
    0xC5: (2, 0),
    0xC6: (4, 0),
    0xC7: (1, 1),
    0xC8: (2, 1),
    0xC9: (4, 1),
    0xD9: (1, 0),
    0xDA: (2, 0),
    0xDB: (4, 0),
}
"""First byte → bytes of the length, and bytes that are not counted in it: strings, bytes, extensions."""
_HOLDING = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""First byte → bytes of the length, and values an element has: arrays and maps."""


def check_shape(body: bytes) -> None:
    """Raise RemoteProtocolError if a body holds too many values or nests too deep; whether it is whole is seen later."""
    open_values = [1]
    at, seen, end = 0, 0, len(body)
    while open_values and at < end:
        if not open_values[-1]:
            open_values.pop()
            continue
        open_values[-1] -= 1
        seen += 1
        if seen > VALUES_MAX:
            raise RemoteProtocolError(BAD_MESSAGE, f"more than {VALUES_MAX} values in one message")
        first = body[at]
        at += 1
        if first < 0x80 or first >= 0xE0:
            continue
        if 0xA0 <= first < 0xC0:
            at += first & 0x1F
        elif first < 0xA0:
            _open(open_values, (first & 0x0F) * (2 if first < 0x90 else 1))
        elif first in _SKIP:
            at += _SKIP[first]
        elif first in _SIZED:
            width, more = _SIZED[first]
            at += width + more + int.from_bytes(body[at : at + width], "big")
        elif first in _HOLDING:
            width, each = _HOLDING[first]
            _open(open_values, each * int.from_bytes(body[at : at + width], "big"))
            at += width


def _open(open_values: list[int], count: int) -> None:
    if len(open_values) > DEPTH_MAX:
        raise RemoteProtocolError(BAD_MESSAGE, f"nested deeper than {DEPTH_MAX}")
    open_values.append(count)
