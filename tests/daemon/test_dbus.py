"""One call over D-Bus, against a peer that the test plays: what is sent, and what is made of the answers.

That systemd takes such calls, and makes scopes of them, is shown by `tests/lab`.
"""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from expd.linux.dbus import Body, CallFailed, call

METHOD = ("org.example.One", "/org/example", "org.example.One", "Do")
SERIAL_FIELD = b"\x05\x01u\0" + struct.pack("<I", 1)


def _answer(kind: int, body: bytes = b"", field: bytes = SERIAL_FIELD) -> bytes:
    return struct.pack("<4B3I", ord("l"), kind, 1, 1, len(body), 7, len(field)) + field + body


@contextmanager
def a_peer(path: Path, welcome: bytes, answer: bytes) -> Iterator[Callable[[], bytes]]:
    """Play the other side of one call; gives what it received after the authentication."""
    received = bytearray()

    def play(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer:
            assert peer.recv(100).startswith(b"\0AUTH EXTERNAL ")
            peer.sendall(welcome)
            if welcome.startswith(b"OK"):
                while not received.startswith(b"BEGIN\r\n") or len(received) < 7 + 16:
                    received.extend(peer.recv(65536))
                peer.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        playing = threading.Thread(target=play, args=(listening,))
        playing.start()
        yield lambda: bytes(received[7:])
        playing.join()


def test_a_call_that_is_answered_returns(tmp_path: Path) -> None:
    """A signal that is told to all goes by; the header says how long the body is, which begins at a multiple of eight."""
    body = Body()
    body.text("x")
    body.properties([("N", "t", 5), ("Yes", "b", True), ("PIDs", "au", [7, 8]), ("Word", "s", "w")])
    answers = _answer(4, b"news", b"") + _answer(2)

    with a_peer(tmp_path / "s", b"OK 0123\r\n", answers) as received:
        call(tmp_path / "s", 10.0, METHOD, "sa(sv)", bytes(body.data))
    sent = received()

    order, kind, _flags, version, length, serial, fields = struct.unpack_from("<4B3I", sent)
    assert (order, kind, version, length, serial) == (ord("l"), 1, 1, len(body.data), 1)
    assert sent[-length:] == body.data
    assert (len(sent) - length) % 8 == 0
    assert 0 <= len(sent) - length - 16 - fields < 8
    assert struct.pack("<I", 2) + b"Do\0" in sent


@pytest.mark.parametrize(
    ("welcome", "answer", "words"),
    [
        (b"REJECTED EXTERNAL\r\n", b"", "does not know us"),
        (b"OK 0123\r\n", _answer(3, struct.pack("<I", 10) + b"no such \xff\xff\0"), "no such"),
        (b"OK 0123\r\n", _answer(3), "refuses without a word"),
        (b"OK 0123\r\n", b"", "closed the connection"),
        (b"OK 0123\r\n", b"B" + _answer(2)[1:], "a form that is not ours"),
        (b"OK 0123\r\n", _answer(2)[:4] + b"\xff" * 12, "a form that is not ours"),
    ],
    ids=["rejected", "an error", "an error without words", "gone", "the other byte order", "too long"],
)
def test_whatever_else_comes_is_a_failure_with_its_words(
    tmp_path: Path, welcome: bytes, answer: bytes, words: str
) -> None:
    """Nothing that a peer says is more than a call that failed."""
    with a_peer(tmp_path / "s", welcome, answer), pytest.raises(CallFailed, match=words):
        call(tmp_path / "s", 10.0, METHOD, "", b"")


def test_where_nobody_listens_the_call_fails(tmp_path: Path) -> None:
    """A missing socket is told in the system's words."""
    with pytest.raises(CallFailed, match="No such file"):
        call(tmp_path / "nobody", 1.0, METHOD, "", b"")
