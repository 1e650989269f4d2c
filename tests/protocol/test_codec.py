"""Frames and bodies: any split, and anything that an enemy or an accident may send."""

import subprocess
import sys
import tracemalloc
from itertools import pairwise
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expproto import codec, plain_codec
from expproto.codec import decode, encode
from expproto.connection import Connection, NeedData
from expproto.errors import BAD_FRAME, BAD_MESSAGE, ProtocolError, RemoteProtocolError
from expproto.frames import FRAME_BYTES_MAX, HEADER_BYTES, FrameReader, encode_frame
from expproto.messages import Hello, Message, message_to_map
from expproto.plain_codec import DEPTH_MAX, ITEMS_MAX
from protocol.samples import messages

MIB = 1024 * 1024
CODECS = [codec, plain_codec]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
    max_leaves=30,
)
"""Whatever a message may hold."""

HOSTILE = {
    "nothing": b"",
    "not a map": b"\x01",
    "an array": b"\x90",
    "truncated": b"\x81\xa1a",
    "more than one value": b"\x80\x80",
    "an unused code": b"\xc1",
    "an array of 4 G elements": b"\x81\xa1a\xdd\xff\xff\xff\xff",
    "a map of 4 G elements": b"\x81\xa1a\xdf\xff\xff\xff\xff",
    "text of 4 GB": b"\x81\xa1a\xdb\xff\xff\xff\xff",
    "bytes of 4 GB": b"\x81\xa1a\xc6\xff\xff\xff\xff",
    "an extension of 4 GB": b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
    "one element too many": b"\x81\xa1a\xdd" + (ITEMS_MAX + 1).to_bytes(4, "big") + b"\xc0" * (ITEMS_MAX + 1),
    "1,000 nested arrays": b"\x91" * 1000 + b"\xc0",
    "1,000 nested arrays in a map": b"\x81\xa1a" + b"\x91" * 1000 + b"\xc0",
    "100,000 nested arrays": b"\x91" * 100_000 + b"\xc0",
    "100,000 nested maps": b"\x81\xa1a" * 100_000 + b"\xc0",
    "1,000 nested headers of large arrays": b"\xdd\x00\x01\x00\x00" * 1000,
    "one level too deep": b"\x81\xa1a" * DEPTH_MAX + b"\xc0",
    "a key twice": bytes.fromhex("82a16101a16102"),
    "a key twice, inside": bytes.fromhex("81a162" + "82a16101a16102"),
    "a number as key": b"\x81\x01\x01",
    "bytes as key": b"\x81\xc4\x01a\x01",
    "a map as key": b"\x81\x80\x01",
    "an array as key": b"\x81\x90\x01",
    "an empty extension": b"\x81\xa1a\xc7\x00\x05",
    "an extension": b"\x81\xa1a\xd4\x01\x00",
    "a timestamp": b"\x81\xa1a\xd6\xff\x00\x00\x00\x00",
    "a huge timestamp": b"\x81\xa1a\xc7\x0c\xff" + b"\xff" * 12,
    "an unsigned integer beyond SQLite": b"\x81\xa1a\xcf" + b"\xff" * 8,
    "a lone surrogate": b"\x81\xa1a\xa3\xed\xa0\x80",
    "text that is no UTF-8": b"\x81\xa1a\xa2\xc3\x28",
    "a key that is no UTF-8": b"\x81\xa1\xff\x01",
}


@settings(deadline=None, max_examples=60)
@given(bodies=st.lists(st.binary(max_size=40), max_size=5), cuts=st.lists(st.integers(0, 240), max_size=8))
def test_frames_are_the_same_at_any_split(bodies: list[bytes], cuts: list[int]) -> None:
    """However the bytes arrive, the same bodies come out, each as soon as it is whole."""
    stream = b"".join(map(encode_frame, bodies))
    reader, found, places = FrameReader(), [], [0, *sorted(cuts), len(stream)]
    for start, end in pairwise(places):
        reader.receive_data(stream[start:end])
        while (body := reader.next_frame()) is not None:
            found.append(body)

    assert found == bodies
    assert reader.is_empty


def test_frame_is_the_same_at_every_byte() -> None:
    """Nothing is given before the last byte, and then all of it."""
    frame = encode_frame(b"abc")
    reader = FrameReader()
    for byte in frame[:-1]:
        reader.receive_data(bytes([byte]))
        assert reader.next_frame() is None
        assert not reader.is_empty
    reader.receive_data(frame[-1:])

    assert reader.next_frame() == b"abc"
    assert reader.next_frame() is None


def test_oversized_frame_is_refused_before_it_is_buffered() -> None:
    """The header alone is enough: not one byte of the body is waited for."""
    reader = FrameReader()
    reader.receive_data((FRAME_BYTES_MAX + 1).to_bytes(HEADER_BYTES, "big"))

    with pytest.raises(RemoteProtocolError) as caught:
        reader.next_frame()
    assert caught.value.code == BAD_FRAME


def test_largest_frame_passes_and_one_byte_more_is_not_sent() -> None:
    """Both sides have the same limit."""
    reader = FrameReader()
    reader.receive_data(encode_frame(bytes(FRAME_BYTES_MAX)))

    assert reader.next_frame() == bytes(FRAME_BYTES_MAX)
    with pytest.raises(ValueError, match="a frame holds at most"):
        encode_frame(bytes(FRAME_BYTES_MAX + 1))


@pytest.mark.parametrize("reading", CODECS)
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_body_is_refused_in_bounded_memory(body: bytes, reading: ModuleType) -> None:
    """Each ends as a RemoteProtocolError with a short text; none takes memory beyond a small multiple of a frame."""
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError) as caught:
            reading.decode(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert caught.value.code == BAD_MESSAGE
    assert len(caught.value.what) < 200
    assert peak < 100 * MIB


@pytest.mark.parametrize("tiny", [b"\x80", b"\x90", b"\xc0"], ids=["maps", "arrays", "nothings"])
def test_a_frame_of_tiny_values_takes_no_more_memory_than_ten_frames(tiny: bytes) -> None:
    """Four million empty values would be 270 MB: they are refused while they are counted, wherever they stand."""
    body = b"\x81\xa1a\xdd\x00\x00\x3f\xff" + (b"\xdc\x00\xff" + tiny * 255) * 0x3FFF
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError, match="more than 262144 values"):
            decode(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 10 * FRAME_BYTES_MAX


LARGEST = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from expproto.codec import decode
from expproto.errors import RemoteProtocolError
for body in (
    b"\\x81\\xa1a\\xdd\\x00\\x00\\x3f\\xff" + (b"\\xdc\\x00\\xff" + b"\\x80" * 255) * 0x3fff,
    b"\\xdd\\x00\\x01\\x00\\x00" * 800_000,
    b"\\x81\\xa1a\\xdb\\x00\\x3f\\xff\\x00" + b"x" * 0x3fff00,
):
    assert len(body) < 5 * 1024 * 1024
    try:
        decode(body)
    except RemoteProtocolError:
        pass
"""


def test_worst_frames_fit_into_a_gigabyte() -> None:
    """A full frame of the smallest objects costs sixty times its size and no more, under a hard limit of the kernel."""
    subprocess.run([sys.executable, "-c", LARGEST], check=True, timeout=60)


@settings(deadline=None, max_examples=300)
@given(body=st.binary(max_size=200))
def test_random_bytes_are_refused_or_a_map(body: bytes) -> None:
    """Nothing but RemoteProtocolError leaves the codec."""
    try:
        value = decode(body)
    except RemoteProtocolError:
        return
    assert all(isinstance(key, str) for key in value)


@settings(deadline=None, max_examples=200)
@given(message=st.dictionaries(st.text(max_size=40), VALUES, max_size=20))
def test_both_codecs_give_the_same_bytes_and_values(message: dict[str, object]) -> None:
    """What needs no library writes what msgpack writes, and reads what it reads."""
    body = encode(message)

    assert plain_codec.encode(message) == body
    assert repr(plain_codec.decode(body)) == repr(decode(body))


@pytest.mark.parametrize("length", [31, 32, 255, 256, 65_535, 65_536])
def test_both_codecs_agree_at_the_lengths_where_the_form_changes(length: int) -> None:
    """Text, bytes, arrays, maps and integers have forms by size, and no two of them are taken for another."""
    count = min(length, ITEMS_MAX)
    keys = {str(number): None for number in range(count)}
    message: dict[str, object] = {
        "text": "x" * length, "bytes": bytes(length), "array": [None] * count, "map": keys, "more": length, "less": -length,
    }  # fmt: skip
    body = encode(message)

    assert plain_codec.encode(message) == body
    assert plain_codec.decode(body) == decode(body) == message


@settings(deadline=None, max_examples=500)
@given(body=st.binary(max_size=60), wrapped=st.booleans())
def test_both_codecs_refuse_the_same(body: bytes, wrapped: bool) -> None:
    """Of random bytes each makes the same map, or both refuse them."""
    if wrapped:
        body = b"\x81\xa1a" + body
    found = []
    for each in CODECS:
        try:
            found.append(repr(each.decode(body)))
        except RemoteProtocolError as error:
            found.append(error.code)

    assert found[0] == found[1]


@settings(deadline=None, max_examples=300)
@given(message=messages(), place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_damaged_message_is_refused_or_read(message: Message, place: int, byte: int, cut: bool) -> None:
    """One byte changed, or the rest cut off, ends as a RemoteProtocolError, as another message, or as a wait for more."""
    frame = bytearray(encode_frame(encode(message_to_map(message))))
    place %= len(frame)
    frame[place] = byte
    connection = Connection("daemon")
    connection.receive_data(bytes(frame[:place] if cut else frame))
    try:
        read = connection.next_message()
    except RemoteProtocolError:
        with pytest.raises(ProtocolError):
            connection.next_message()
        return
    assert isinstance(read, NeedData | Hello)


def test_deepest_message_passes() -> None:
    """The limit is on what is deeper than it."""
    body = b"\x81\xa1a" * (DEPTH_MAX - 1) + b"\xc0"
    value: object = decode(body)
    for _ in range(DEPTH_MAX - 1):
        assert isinstance(value, dict)
        value = value["a"]

    assert value is None


@pytest.mark.parametrize("writing", CODECS)
@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800", object(), {1, 2}])
def test_what_the_wire_cannot_hold_is_not_sent(value: object, writing: ModuleType) -> None:
    """A bug on our side is ours: ValueError or TypeError, before a byte leaves."""
    with pytest.raises((ValueError, TypeError)):
        writing.encode({"kind": "x", "value": value})


def test_limits_of_integers_pass() -> None:
    """All that SQLite can hold can be sent."""
    value: dict[str, object] = {"least": -(2**63), "most": 2**63 - 1, "text": "\u00e9\U0001f600"}

    assert decode(encode(value)) == value
