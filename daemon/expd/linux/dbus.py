"""A call of one method over D-Bus, to a peer that needs no bus between (D-Bus Specification: authentication, marshalling).

That is how `systemctl --user` talks to the user's manager, whether a bus runs or not. Only what such a call needs is here.
"""

import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_CALL, _RETURN, _ERROR = 1, 2, 3
_PATH, _INTERFACE, _MEMBER, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 5, 6, 8
_SERIAL: Final = 1
_HEADER = struct.Struct("<4B3I")
"""Byte order, type, flags, version; lengths of body, serial, length of the fields."""
_BYTES_MAX = 2**20
"""Of an answer: what we ask is answered in a hundred."""

Value = str | int | bool | Sequence[int]


class CallFailed(OSError):
    """The other side can't be reached, or would not do it: its own words."""


def call(address: Path, timeout_seconds: float, method: tuple[str, str, str, str], signature: str, body: bytes) -> None:
    """Call a method (destination, object, interface, member) and wait for its answer; raises CallFailed. Blocks."""
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(timeout_seconds)
            peer.connect(str(address))
            _authenticate(peer)
            peer.sendall(_message(method, signature, body))
            while not _is_answer(peer):
                pass
    except CallFailed:
        raise
    except (OSError, struct.error) as error:
        raise CallFailed(str(error)) from error


class Body:
    """The bytes of a body, value by value: each begins at a multiple of its own size, counted from the body's start."""

    def __init__(self) -> None:
        self.data = bytearray()

    def text(self, value: str) -> None:
        """Add a string."""
        encoded = value.encode()
        self.number(len(encoded))
        self.data += encoded + b"\0"

    def number(self, value: int) -> None:
        """Add a UINT32."""
        self.align(4)
        self.data += struct.pack("<I", value)

    def property(self, name: str, signature: str, value: Value) -> None:
        """Add a struct of a name and a variant, of a type out of `s`, `b`, `t` and `au`."""
        self.align(8)
        self.text(name)
        self.data += bytes([len(signature)]) + signature.encode() + b"\0"
        match value:
            case str():
                self.text(value)
            case bool():
                self.number(int(value))
            case int():
                self.align(8)
                self.data += struct.pack("<Q", value)
            case _:
                self.number(4 * len(value))
                for item in value:
                    self.number(item)

    def properties(self, properties: Sequence[tuple[str, str, Value]]) -> None:
        """Add an array of such structs."""
        self.number(0)
        length_at = len(self.data) - 4
        self.align(8)
        begin = len(self.data)
        for each in properties:
            self.property(*each)
        struct.pack_into("<I", self.data, length_at, len(self.data) - begin)

    def align(self, size: int) -> None:
        """Go on at the next multiple."""
        self.data += bytes(-len(self.data) % size)


def _authenticate(peer: socket.socket) -> None:
    """Say who we are, which the kernel tells the other side anyway."""
    peer.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
    said = b""
    while not said.endswith(b"\r\n"):
        said += _some(peer, 1)
    if not said.startswith(b"OK "):
        raise CallFailed(f"it does not know us: {said.decode(errors='replace').strip()}")
    peer.sendall(b"BEGIN\r\n")


def _message(method: tuple[str, str, str, str], signature: str, body: bytes) -> bytes:
    destination, path, interface, member = method
    fields = Body()
    texts = ((_PATH, "o", path), (_DESTINATION, "s", destination), (_INTERFACE, "s", interface), (_MEMBER, "s", member))
    for code, kind, text in texts:
        fields.align(8)
        fields.data += bytes([code, 1]) + kind.encode() + b"\0"
        fields.text(text)
    fields.align(8)
    fields.data += bytes([_SIGNATURE, 1]) + b"g\0" + bytes([len(signature)]) + signature.encode() + b"\0"
    length = len(fields.data)
    fields.align(8)  # the header is 16 bytes long
    return _HEADER.pack(ord("l"), _CALL, 0, 1, len(body), _SERIAL, length) + bytes(fields.data) + body


def _is_answer(peer: socket.socket) -> bool:
    """Read one message; True if it is the answer to ours. Raises CallFailed if that is an error."""
    order, kind, _flags, _version, body_length, _serial, length = _HEADER.unpack(_some(peer, _HEADER.size))
    if order != ord("l") or body_length + length > _BYTES_MAX:
        raise CallFailed("it answers in a form that is not ours")
    fields, body = _some(peer, length + -length % 8)[:length], _some(peer, body_length)
    if kind not in {_RETURN, _ERROR} or not _is_reply(fields):
        return False  # a signal that is told to all
    if kind == _ERROR:
        (size,) = struct.unpack_from("<I", body) if len(body) >= 4 else (0,)
        raise CallFailed(body[4 : 4 + size].decode(errors="replace") or "it refuses without a word")
    return True


def _is_reply(fields: bytes) -> bool:
    """Tell whether the fields of a header have our serial as that which is answered."""
    return bytes([_REPLY_SERIAL, 1]) + b"u\0" + struct.pack("<I", _SERIAL) in fields


def _some(peer: socket.socket, count: int) -> bytes:
    """Read so many bytes."""
    data = bytearray()
    while len(data) < count:
        piece = peer.recv(count - len(data))
        if not piece:
            raise CallFailed("it has closed the connection")
        data += piece
    return bytes(data)
