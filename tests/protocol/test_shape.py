"""What a body holds is counted before anything is made of it: no honest message is refused, none costs much."""

import tracemalloc
from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expproto.connection import HELLO_BYTES_MAX, Connection
from expproto.errors import BAD_FRAME, BAD_MESSAGE, RemoteProtocolError
from expproto.frames import FRAME_BYTES_MAX, encode_frame
from expproto.plain_codec import ITEMS_MAX
from expproto.shape import VALUES_MAX, check_shape

MEMORY_BYTES_MAX = 1024 * 1024
"""What counting may take, whatever it counts."""


def _nested(value: object, depth: int) -> object:
    for _level in range(depth):
        value = [value]
    return value


def _swarm(value: bytes, count: int) -> bytes:
    """Give a map with an array of `count` arrays of as many equal values as an array may have."""
    one = b"\xdc\xff\xff" + value * 65_535
    return b"\x81\xa1x\xdc" + count.to_bytes(2, "big") + one * count


SWARMS = {
    "empty maps": _swarm(b"\x80", 60),
    "empty arrays": _swarm(b"\x90", 60),
    "strings of two": _swarm(b"\xa2ab", 20),
    "numbers": b"\x81\xa1x\xdd\x00\x3f\xff\xf0" + b"\x01" * (FRAME_BYTES_MAX - 16),
    "maps of numbers": b"\x81\xa1x\xdf\x00\x1f\xff\xff" + b"\x01\x02" * 2_000_000,
}


@pytest.mark.parametrize("swarm", SWARMS)
def test_a_swarm_is_refused_before_it_is_made(swarm: str) -> None:
    """Megabytes of the smallest values are refused in constant memory."""
    tracemalloc.start()
    with pytest.raises(RemoteProtocolError) as refused:
        check_shape(SWARMS[swarm])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert refused.value.code == BAD_MESSAGE
    assert peak < MEMORY_BYTES_MAX


def test_the_largest_environment_passes() -> None:
    """As many variables as an array may have elements, each a pair."""
    check_shape(msgpack.packb({"kind": "submit", "environment": [[b"A", b"b"]] * ITEMS_MAX}))


def test_one_value_too_many_is_refused() -> None:
    """The limit is the largest number that passes."""
    check_shape(msgpack.packb([[1] * 1000] * (VALUES_MAX // 1001 - 1)))
    with pytest.raises(RemoteProtocolError, match="more than"):
        check_shape(msgpack.packb([[1] * 1000] * (VALUES_MAX // 1001 + 1)))


def test_depth_is_counted() -> None:
    """What nests too deep is refused on its headers; what is within the limit is not."""
    check_shape(msgpack.packb({"x": _nested(1, 14)}))
    with pytest.raises(RemoteProtocolError, match="deeper"):
        check_shape(msgpack.packb({"x": _nested(1, 40)}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=40,
    )
)
def test_what_is_packed_is_walked_to_its_end(value: object) -> None:
    """Any value that is packed passes, and a byte of nonsense behind it changes nothing: each value's end is found."""
    body = msgpack.packb(value)

    check_shape(body)
    check_shape(body + b"\xdf\xff\xff\xff\xff")


@given(st.binary(max_size=300))
def test_any_bytes_are_walked(body: bytes) -> None:
    """Noise is passed or refused, and nothing else."""
    with suppress(RemoteProtocolError):
        check_shape(body)


@pytest.mark.parametrize("role", ["daemon", "client", "worker"])
def test_before_the_greeting_frames_are_small(role: str) -> None:
    """Whoever has not said who it is makes nobody keep more than a kilobyte."""
    connection = Connection(role)  # type: ignore[arg-type]  # the names are the roles
    connection.receive_data(encode_frame(b"x" * (HELLO_BYTES_MAX + 1)))

    with pytest.raises(RemoteProtocolError) as refused:
        connection.next_message()
    assert refused.value.code == BAD_FRAME
