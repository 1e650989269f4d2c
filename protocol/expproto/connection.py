"""The conversation without a socket: bytes in, messages out; messages in, bytes out; and whose turn it is.

Rules held here, on both sides by the same code, so that neither obeys rules the other does not:
1. Hello comes first, both ways; a daemon answers a client or a worker of its own protocol version only.
2. A client has one request open at a time; it is answered by events and then one reply.
3. Whoever breaks a rule ends the conversation: after an error a connection reads nothing more, and the daemon
   writes at most one Refusal that says why.
"""

from enum import Enum
from typing import Final, Literal

from expproto import PROTOCOL_VERSION, VERSION
from expproto.codec import decode, encode
from expproto.errors import OUT_OF_TURN, VERSION_MISMATCH, LocalProtocolError, RemoteProtocolError
from expproto.frames import FRAME_BYTES_MAX, FrameReader, encode_frame
from expproto.messages import Hello, Message, message_from_map, message_to_map
from expproto.replies import Event, Refusal, Reply
from expproto.requests import Request
from expproto.shape import VALUES_MAX, check_shape
from expproto.work import Order, Report

HELLO_BYTES_MAX = 1024
"""Of a frame before the greeting is over: a Hello has some 60 bytes, and a Refusal of one says why in a sentence."""

Role = Literal["client", "worker", "daemon"]


class Turn(Enum):
    """Where a conversation stands."""

    GREETING = "our peer's Hello is awaited"
    IDLE = "no request is open"
    ANSWERING = "a request is open"
    WORKING = "orders and reports pass freely"
    BROKEN = "a rule was broken"


class NeedData:
    """The non-event: nothing complete has arrived."""

    __slots__ = ()


NEED_DATA: Final = NeedData()


class Connection:
    """One side of a conversation; `role` is this side's."""

    def __init__(self, role: Role) -> None:
        self.role: Role = role
        self.peer: Hello | None = None
        self.turn = Turn.GREETING
        self._frames = FrameReader()
        self._has_refused = False

    def greet(self) -> bytes:
        """Give our Hello, to be sent first."""
        return _to_bytes(Hello(protocol=PROTOCOL_VERSION, version=VERSION, role=self.role))

    def receive_data(self, data: bytes) -> None:
        """Take bytes as they came; `next_message` reads them."""
        self._frames.receive_data(data)

    def next_message(self) -> Message | NeedData:
        """Give the next message, or NEED_DATA; raises RemoteProtocolError, after which the connection is dead."""
        if self.turn is Turn.BROKEN:
            raise LocalProtocolError(OUT_OF_TURN, "this conversation has broken")
        try:
            self._frames.frame_bytes_max = HELLO_BYTES_MAX if self.turn is Turn.GREETING else FRAME_BYTES_MAX
            body = self._frames.next_frame()
            if body is None:
                return NEED_DATA
            if self.role == "daemon" and len(body) > VALUES_MAX:  # a value has a byte at least
                check_shape(body)
            message = message_from_map(decode(body))
            self._hear(message)
        except RemoteProtocolError:
            self.turn = Turn.BROKEN
            raise
        return message

    def send(self, message: Message) -> bytes:
        """Give the bytes of a message; raises LocalProtocolError if it is not our turn."""
        if not self._may_send(message):
            raise LocalProtocolError(OUT_OF_TURN, f"a {self.role} can't send {message.kind} now: {self.turn.value}")
        if isinstance(message, Request):
            self.turn = Turn.ANSWERING
        elif isinstance(message, Reply):
            self._has_refused = self.turn is not Turn.ANSWERING
            self.turn = Turn.BROKEN if self._has_refused else Turn.IDLE
        return _to_bytes(message)

    @property
    def is_between_messages(self) -> bool:
        """Tell whether an end of the stream here is a clean one."""
        return self._frames.is_empty

    def _may_send(self, message: Message) -> bool:
        match self.turn:
            case Turn.GREETING | Turn.BROKEN:
                return self.role == "daemon" and isinstance(message, Refusal) and not self._has_refused
            case Turn.IDLE:
                return self.role == "client" and isinstance(message, Request)
            case Turn.ANSWERING:
                return self.role == "daemon" and isinstance(message, Event | Reply)
            case _:  # WORKING
                return isinstance(message, Order if self.role == "daemon" else Report)

    def _hear(self, message: Message) -> None:
        if self.turn is Turn.GREETING and not isinstance(message, Refusal):
            self._hear_hello(message)
        elif self.turn is Turn.GREETING and self.role != "daemon":
            pass  # the daemon says why it won't talk
        elif not self._may_hear(message):
            raise RemoteProtocolError(OUT_OF_TURN, f"{message.kind} came while {self.turn.value}")
        elif isinstance(message, Request):
            self.turn = Turn.ANSWERING
        elif isinstance(message, Reply):
            self.turn = Turn.IDLE

    def _may_hear(self, message: Message) -> bool:
        match self.turn:
            case Turn.IDLE:
                return self.role == "daemon" and isinstance(message, Request)
            case Turn.ANSWERING:
                return self.role == "client" and isinstance(message, Event | Reply)
            case Turn.WORKING:
                return isinstance(message, Report if self.role == "daemon" else Order)
            case _:
                return False

    def _hear_hello(self, message: Message) -> None:
        if not isinstance(message, Hello):
            raise RemoteProtocolError(OUT_OF_TURN, f"{message.kind} came before hello")
        self.peer = message
        if message.protocol != PROTOCOL_VERSION:
            raise RemoteProtocolError(
                VERSION_MISMATCH,
                f"{message.role} {message.version} speaks protocol {message.protocol}, not {PROTOCOL_VERSION}",
            )
        if (message.role == "daemon") == (self.role == "daemon") or message.role not in {"client", "worker", "daemon"}:
            raise RemoteProtocolError(OUT_OF_TURN, f"a {message.role!r} greets a {self.role}")
        self.turn = Turn.WORKING if "worker" in {self.role, message.role} else Turn.IDLE


def _to_bytes(message: Message) -> bytes:
    return encode_frame(encode(message_to_map(message)))
