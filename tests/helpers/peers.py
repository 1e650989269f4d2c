"""Connections to a daemon by hand: raw bytes, or a client that keeps to the protocol; and whether others are served meanwhile."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

import msgpack
import psutil

from expproto import PROTOCOL_VERSION, VERSION
from expproto.codec import decode
from expproto.connection import Connection, NeedData, Role
from expproto.frames import FrameReader, encode_frame
from expproto.logs import Mark, Output
from expproto.messages import Hello, Message, message_to_map
from expproto.replies import DaemonShown, Ended, EntryPage
from expproto.requests import AskDaemon, Request
from helpers.daemons import RunningDaemon

ANSWER_SECONDS = 1.0
"""Within this others are answered, whatever a hostile client does (faults.md, invariant 6)."""
PATIENCE_SECONDS = 20.0
GROWTH_BYTES_MAX = 64 * 1024 * 1024


def frame(value: object) -> bytes:
    """Give the bytes of one message, whatever it is."""
    return encode_frame(msgpack.packb(value))


def hello(**changes: object) -> bytes:
    """Give the bytes of a client's greeting with other fields."""
    return frame({**message_to_map(Hello(protocol=PROTOCOL_VERSION, version=VERSION, role="client")), **changes})


class Peer:
    """One raw connection to the daemon."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(daemon.socket))  # blocking: it waits where a socket with a timeout gets EAGAIN
        self.socket.settimeout(PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes; a daemon that has closed already is no failure."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def hear_until(self, kind: str) -> None:
        """Read until a message of a kind has come."""
        frames = FrameReader()
        while data := self.socket.recv(65536):
            frames.receive_data(data)
            while (body := frames.next_frame()) is not None:
                if decode(body)["kind"] == kind:
                    return
        raise AssertionError(f"no {kind} came")

    def hear_to_the_end(self) -> list[dict[str, object]]:
        """Read until the daemon closes; gives what it said as maps."""
        frames, said = FrameReader(), []
        with suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                frames.receive_data(data)
                while (body := frames.next_frame()) is not None:
                    said.append(decode(body))
        return said


class Talk(Peer):
    """A client that keeps to the protocol."""

    def __init__(self, daemon: RunningDaemon, role: Role = "client") -> None:
        super().__init__(daemon)
        self._connection = Connection(role)
        self.send(self._connection.greet())
        assert isinstance(self.receive(), Hello)

    def receive(self) -> Message:
        """Receive one message."""
        while isinstance(message := self._connection.next_message(), NeedData):
            data = self.socket.recv(65536)
            assert data, "the daemon closed the connection"
            self._connection.receive_data(data)
        return message

    def tell(self, message: Message) -> None:
        """Send one message."""
        self.send(self._connection.send(message))

    def request(self, request: Request) -> Message:
        """Send a request and give its reply, events passed over."""
        self.send(self._connection.send(request))
        while isinstance(message := self.receive(), EntryPage | Output | Mark | Ended):
            pass
        return message


@contextmanager
def others_are_served(daemon: RunningDaemon) -> Iterator[None]:
    """Ask for the daemon's status all the time while inside: each answer comes in time, and memory does not grow."""
    over = threading.Event()
    slowest = [0.0]
    failures: list[Exception] = []
    process = psutil.Process(daemon.process.pid)
    before = process.memory_info().rss

    def ask() -> None:
        try:
            while not over.wait(0.02):
                start = time.monotonic()
                with Talk(daemon) as talk:
                    assert isinstance(talk.request(AskDaemon()), DaemonShown)
                slowest[0] = max(slowest[0], time.monotonic() - start)
        except (OSError, AssertionError) as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert failures == []
    assert slowest[0] < ANSWER_SECONDS
    assert process.memory_info().rss - before < GROWTH_BYTES_MAX
