"""The conversation: whose turn it is, walked message by message, legal and not, on every side."""

import pytest

from expproto import PROTOCOL_VERSION, VERSION
from expproto.codec import encode
from expproto.connection import Connection, NeedData, Role, Turn
from expproto.errors import OUT_OF_TURN, VERSION_MISMATCH, LocalProtocolError, RemoteProtocolError
from expproto.frames import encode_frame
from expproto.messages import Hello, Message, message_to_map
from expproto.replies import Event, Refusal, Reply
from expproto.requests import AskDaemon, Request
from expproto.work import Leave, Order, Report
from protocol.samples import fixed_samples

SAMPLES = fixed_samples()

SIDES: list[tuple[Role, Turn]] = [
    ("client", Turn.GREETING),
    ("client", Turn.IDLE),
    ("client", Turn.ANSWERING),
    ("client", Turn.BROKEN),
    ("worker", Turn.GREETING),
    ("worker", Turn.WORKING),
    ("worker", Turn.BROKEN),
    ("daemon", Turn.GREETING),
    ("daemon", Turn.IDLE),
    ("daemon", Turn.ANSWERING),
    ("daemon", Turn.WORKING),
    ("daemon", Turn.BROKEN),
]
"""Every side in every turn that it can be in."""

SENDS: dict[tuple[Role, Turn, str], Turn] = {
    ("client", Turn.IDLE, "request"): Turn.ANSWERING,
    ("daemon", Turn.ANSWERING, "event"): Turn.ANSWERING,
    ("daemon", Turn.ANSWERING, "reply"): Turn.IDLE,
    ("daemon", Turn.ANSWERING, "refusal"): Turn.IDLE,
    ("daemon", Turn.WORKING, "order"): Turn.WORKING,
    ("worker", Turn.WORKING, "report"): Turn.WORKING,
    ("daemon", Turn.GREETING, "refusal"): Turn.BROKEN,
    ("daemon", Turn.BROKEN, "refusal"): Turn.BROKEN,
}
"""What may be sent, and the turn after it; every other pair is a LocalProtocolError."""

HEARS: dict[tuple[Role, Turn, str], Turn] = {
    ("client", Turn.GREETING, "refusal"): Turn.GREETING,
    ("worker", Turn.GREETING, "refusal"): Turn.GREETING,
    ("client", Turn.ANSWERING, "event"): Turn.ANSWERING,
    ("client", Turn.ANSWERING, "reply"): Turn.IDLE,
    ("client", Turn.ANSWERING, "refusal"): Turn.IDLE,
    ("daemon", Turn.IDLE, "request"): Turn.ANSWERING,
    ("daemon", Turn.WORKING, "report"): Turn.WORKING,
    ("worker", Turn.WORKING, "order"): Turn.WORKING,
}
"""What may be heard besides the first Hello, and the turn after it; every other pair is a RemoteProtocolError."""


def family(message: Message) -> str:
    """Say what sort of message this is."""
    match message:
        case Hello():
            return "hello"
        case Refusal():
            return "refusal"
    for name, union in (("request", Request), ("event", Event), ("reply", Reply), ("order", Order), ("report", Report)):
        if isinstance(message, union):
            return name
    raise AssertionError(message)


def frame(message: Message) -> bytes:
    """Give the bytes of a message, whoever says it."""
    return encode_frame(encode(message_to_map(message)))


def hello(role: str, protocol: int = PROTOCOL_VERSION) -> Hello:
    """Give somebody's Hello."""
    return Hello(protocol=protocol, version=VERSION, role=role)


def a_connection(role: Role, turn: Turn) -> Connection:
    """Give one side in a turn."""
    connection = Connection(role)
    connection.turn = turn
    return connection


@pytest.mark.parametrize(("role", "turn"), SIDES)
def test_only_what_is_our_turn_is_sent(role: Role, turn: Turn) -> None:
    """Of every message there is, those of the table are sent and lead to its turn; all others raise and change nothing."""
    for message in SAMPLES.values():
        connection = a_connection(role, turn)
        expected = SENDS.get((role, turn, family(message)))
        if expected is None:
            with pytest.raises(LocalProtocolError) as caught:
                connection.send(message)
            assert (caught.value.code, connection.turn) == (OUT_OF_TURN, turn)
        else:
            assert connection.send(message) == frame(message)
            assert connection.turn is expected


@pytest.mark.parametrize(("role", "turn"), SIDES)
def test_only_what_is_their_turn_is_heard(role: Role, turn: Turn) -> None:
    """Of every message there is, those of the table are heard and lead to its turn; all others break the conversation."""
    for message in SAMPLES.values():
        connection = a_connection(role, turn)
        connection.receive_data(frame(message))
        expected = HEARS.get((role, turn, family(message)))
        if turn is Turn.BROKEN:
            with pytest.raises(LocalProtocolError):
                connection.next_message()
        elif expected is None:
            with pytest.raises(RemoteProtocolError):
                connection.next_message()
            assert connection.turn is Turn.BROKEN
        else:
            assert connection.next_message() == message
            assert connection.turn is expected


@pytest.mark.parametrize(
    ("role", "peer", "turn"),
    [
        ("client", "daemon", Turn.IDLE),
        ("worker", "daemon", Turn.WORKING),
        ("daemon", "client", Turn.IDLE),
        ("daemon", "worker", Turn.WORKING),
        ("daemon", "daemon", Turn.BROKEN),
        ("client", "client", Turn.BROKEN),
        ("client", "worker", Turn.BROKEN),
        ("worker", "client", Turn.BROKEN),
        ("daemon", "tourist", Turn.BROKEN),
        ("client", "tourist", Turn.BROKEN),
    ],
)
def test_greeting_decides_the_conversation(role: Role, peer: str, turn: Turn) -> None:
    """A daemon talks with clients in turns and with workers freely; nobody else talks at all."""
    connection = Connection(role)
    connection.receive_data(frame(hello(peer)))
    if turn is Turn.BROKEN:
        with pytest.raises(RemoteProtocolError) as caught:
            connection.next_message()
        assert caught.value.code == OUT_OF_TURN
    else:
        assert connection.next_message() == hello(peer)
    assert connection.turn is turn


@pytest.mark.parametrize("role", ["client", "worker", "daemon"])
def test_other_version_is_told_and_remembered(role: Role) -> None:
    """The error has its own code, and the peer's Hello is kept for the sentence about it."""
    connection = Connection(role)
    connection.receive_data(frame(hello("daemon" if role != "daemon" else "client", protocol=PROTOCOL_VERSION + 1)))

    with pytest.raises(RemoteProtocolError) as caught:
        connection.next_message()
    assert caught.value.code == VERSION_MISMATCH
    assert connection.peer is not None
    assert connection.peer.protocol == PROTOCOL_VERSION + 1


def test_daemon_says_why_at_most_once() -> None:
    """After an error one Refusal may be written, and nothing after it."""
    connection = Connection("daemon")
    connection.receive_data(frame(AskDaemon()))
    with pytest.raises(RemoteProtocolError):
        connection.next_message()

    assert connection.send(Refusal(code=OUT_OF_TURN, data={}))
    with pytest.raises(LocalProtocolError):
        connection.send(Refusal(code=OUT_OF_TURN, data={}))


def test_nothing_is_heard_after_an_error() -> None:
    """Messages that arrived together with a wrong one are not read."""
    connection = a_connection("worker", Turn.WORKING)
    connection.receive_data(frame(AskDaemon()) + frame(Leave()))
    with pytest.raises(RemoteProtocolError):
        connection.next_message()

    with pytest.raises(LocalProtocolError):
        connection.next_message()


def test_two_sides_talk_byte_by_byte() -> None:
    """Joined without a network, a client and a daemon greet, ask and answer, whatever pieces the bytes come in."""
    client, daemon = Connection("client"), Connection("daemon")
    _deliver(client.greet(), daemon, hello("client"))
    _deliver(daemon.greet(), client, hello("daemon"))
    _deliver(client.send(AskDaemon()), daemon, AskDaemon())
    for kind in ("output", "daemon_shown"):
        _deliver(daemon.send(SAMPLES[kind]), client, SAMPLES[kind])

    assert (client.turn, daemon.turn) == (Turn.IDLE, Turn.IDLE)
    assert client.is_between_messages
    assert client.peer == hello("daemon")


def test_end_inside_a_message_is_told_apart() -> None:
    """A stream that ends between messages ended cleanly; one that ends inside did not."""
    connection = Connection("client")
    connection.receive_data(frame(hello("daemon"))[:-1])

    assert isinstance(connection.next_message(), NeedData)
    assert not connection.is_between_messages


def _deliver(data: bytes, receiver: Connection, expected: Message) -> None:
    for byte in data[:-1]:
        receiver.receive_data(bytes([byte]))
        assert isinstance(receiver.next_message(), NeedData)
    receiver.receive_data(data[-1:])
    assert receiver.next_message() == expected
