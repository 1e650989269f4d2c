"""The wire: messages whole or not at all, whoever is cancelled and however little is under way."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from trio.testing import memory_stream_pair

from expd.wire import Wire
from expproto import PROTOCOL_VERSION, VERSION
from expproto.codec import encode
from expproto.connection import Connection, NeedData
from expproto.errors import LocalProtocolError, RemoteProtocolError
from expproto.frames import encode_frame
from expproto.messages import Hello, Message, message_to_map
from expproto.requests import AskDaemon, Status
from expproto.vocabulary import RunId
from expproto.work import Acknowledge, CancelRun, StageStarted

Ends = tuple[trio.abc.Stream, trio.abc.Stream]
STAGE = StageStarted(run=RunId(3), run_token="t", stage="train")


@pytest.fixture
async def tight() -> AsyncIterator[Ends]:
    """Give a tight pair that is closed in the end, whatever a test leaves open."""
    ends = a_tight_pair()
    yield ends
    for end in ends:
        await trio.aclose_forcefully(end)


def a_tight_pair() -> Ends:
    """Give two ends of a socket that holds next to nothing: the sender of a long message waits for its reader."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel makes 4608 of it, socket(7)
    return (
        trio.SocketStream(trio.socket.from_stdlib_socket(ours)),
        trio.SocketStream(trio.socket.from_stdlib_socket(theirs)),
    )


def _order(number: int, reason_chars: int = 300_000) -> CancelRun:
    """Make a message that is many reads long, each byte of it known."""
    return CancelRun(run=RunId(number), reason=f"{number % 10}" * reason_chars)


async def _greet(*wires: Wire) -> None:
    async with trio.open_nursery() as nursery:
        for wire in wires:
            nursery.start_soon(wire.greet)


@asynccontextmanager
async def _a_daemon_and_its_worker(make: Callable[[], Ends] = memory_stream_pair) -> AsyncIterator[tuple[Wire, Wire]]:
    """Give two wires that have greeted each other."""
    ours, theirs = make()
    daemon, worker = Wire(ours, "daemon"), Wire(theirs, "worker")
    await _greet(daemon, worker)
    yield daemon, worker
    await daemon.close()
    await worker.close()


@pytest.mark.parametrize("make", [memory_stream_pair, a_tight_pair], ids=["ample", "tight"])
async def test_messages_arrive_whole_and_in_order(make: Callable[[], Ends]) -> None:
    """Both directions at once, also where a sender has to wait for its reader."""
    orders, heard = [_order(number) for number in range(3)], list[Message | None]()

    async with _a_daemon_and_its_worker(make) as (daemon, worker):

        async def talk() -> None:
            for order in orders:
                await daemon.send(order)

        async def listen() -> None:
            for _ in orders:
                heard.append(await worker.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk)
            nursery.start_soon(listen)
            nursery.start_soon(worker.send, STAGE)
            assert await daemon.receive() == STAGE

    assert heard == orders


async def test_tasks_that_send_at_once_do_not_mix_their_frames(tight: Ends) -> None:
    """Read seven bytes at a time, the frames of ten tasks are ten messages, each of them whole."""
    orders = [_order(number, reason_chars=500) for number in range(10)]
    ours, theirs = tight
    daemon, reader = Wire(ours, "daemon"), Connection("worker")
    heard = list[Message]()

    async def listen() -> None:
        await theirs.send_all(reader.greet())
        while len(heard) < 1 + len(orders):
            reader.receive_data(bytes(await theirs.receive_some(7)))
            while not isinstance(message := reader.next_message(), NeedData):
                heard.append(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await daemon.greet()
        for order in orders:
            nursery.start_soon(daemon.send, order)

    assert isinstance(heard[0], Hello)
    assert sorted(heard[1:], key=repr) == orders


async def test_a_cancelled_send_closes_the_stream(tight: Ends) -> None:
    """Half a frame may be on its way: the wire is never written again, and the peer sees an end, not a next message."""
    ours, theirs = tight
    daemon, worker = Wire(ours, "daemon"), Wire(theirs, "worker")
    await _greet(daemon, worker)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(daemon.send, _order(1))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    with pytest.raises(trio.ClosedResourceError):
        await daemon.send(_order(2))
    arrived = b"".join([bytes(part) async for part in theirs])
    assert 0 < len(arrived) < 300_000
    assert set(arrived[-1000:]) == {ord("1")}


@pytest.mark.parametrize("steps", range(5))
async def test_a_send_that_is_cancelled_at_once_tears_nothing(steps: int) -> None:
    """Where there is room for all of a message, it is sent or it is not: the conversation goes on."""
    async with _a_daemon_and_its_worker(a_tight_pair) as (daemon, worker):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.send, _order(1, reason_chars=1))
            for _step in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

        await daemon.send(_order(2, reason_chars=1))
        heard = [await worker.receive()]
        if heard == [_order(1, reason_chars=1)]:
            heard.append(await worker.receive())

        assert heard[-1] == _order(2, reason_chars=1)


async def test_a_sender_that_waits_its_turn_is_told_of_the_closing(tight: Ends) -> None:
    """The second task does not add its frame to the torn one of the first."""
    ours, theirs = tight
    daemon, worker = Wire(ours, "daemon"), Wire(theirs, "worker")
    await _greet(daemon, worker)
    first = trio.CancelScope()

    async def send_first() -> None:
        with first:
            await daemon.send(_order(1))

    async def send_second() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await daemon.send(_order(2))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(send_second)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()

    assert first.cancelled_caught


async def test_cancelling_a_task_that_waits_its_turn_harms_nothing() -> None:
    """Nothing of its message was sent, so the conversation goes on."""
    heard = list[Message | None]()
    async with _a_daemon_and_its_worker(a_tight_pair) as (daemon, worker):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.send, _order(1))
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(0):
                await daemon.send(_order(2))
            heard.append(await worker.receive())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.send, _order(3))
            heard.append(await worker.receive())

    assert heard == [_order(1), _order(3)]


async def test_a_failed_send_closes_the_stream() -> None:
    """When the peer has gone, the error is told and the wire is closed."""
    async with _a_daemon_and_its_worker() as (daemon, worker):
        await worker.close()

        with pytest.raises(trio.BrokenResourceError):
            await daemon.send(_order(1))
        with pytest.raises(trio.ClosedResourceError):
            await daemon.send(_order(1))


async def test_a_message_out_of_turn_sends_nothing() -> None:
    """A breach of our own rules is an error here, and no bytes there: the conversation goes on."""
    async with _a_daemon_and_its_worker() as (daemon, worker):
        with pytest.raises(LocalProtocolError):
            await daemon.send(STAGE)

        await daemon.send(_order(1))

        assert await worker.receive() == _order(1)


async def test_the_end_of_the_stream_is_no_message() -> None:
    """A peer that leaves is None to who listens, and False to who only takes in."""
    async with _a_daemon_and_its_worker() as (daemon, worker):
        await daemon.close()

        assert await worker.receive() is None
        assert not await worker.receive_more()


async def test_taken_in_messages_are_received_later() -> None:
    """`receive_more` loses nothing of what it takes in while an answer is under way."""
    ours, theirs = memory_stream_pair()
    daemon, client = Wire(ours, "daemon"), Wire(theirs, "client")
    await _greet(daemon, client)
    await client.send(Status(cwd="/"))

    more = await daemon.receive_more()

    assert more
    with trio.fail_after(1):
        assert await daemon.receive() == Status(cwd="/")


async def test_closing_works_in_a_cancelled_scope() -> None:
    """A task that ends because it is cancelled still closes its stream."""
    async with _a_daemon_and_its_worker() as (daemon, worker):
        with trio.CancelScope() as scope:
            scope.cancel()
            await daemon.close()

        assert await worker.receive() is None


def _hello(protocol: int) -> bytes:
    return encode_frame(encode(message_to_map(Hello(protocol=protocol, version=VERSION, role="daemon"))))


BAD_GREETINGS = {
    "another version": _hello(PROTOCOL_VERSION + 1),
    "no hello": encode_frame(encode(message_to_map(AskDaemon()))),
    "no frame": b"GET / HTTP/1.1\r\n\r\n",
    "no message": encode_frame(b"\xc1"),
}


@pytest.mark.parametrize("greeting", BAD_GREETINGS.values(), ids=BAD_GREETINGS)
async def test_who_greets_otherwise_is_refused(greeting: bytes) -> None:
    """A peer that speaks something else is an error of the peer's, before anything is asked of it."""
    ours, theirs = memory_stream_pair()
    await theirs.send_all(greeting)

    with pytest.raises(RemoteProtocolError):
        await Wire(ours, "client").greet()


async def test_who_leaves_without_a_greeting_is_told_apart() -> None:
    """The end of the channel is not taken for a greeting."""
    ours, theirs = memory_stream_pair()
    await trio.aclose_forcefully(theirs)

    with pytest.raises((trio.EndOfChannel, trio.BrokenResourceError)):
        await Wire(ours, "worker").greet()


async def test_a_message_is_equal_wherever_its_bytes_are_split() -> None:
    """Bytes that come one by one are the message that was sent."""
    ours, theirs = memory_stream_pair()
    worker, peer = Wire(ours, "worker"), Connection("daemon")
    sent = replace(_order(4, reason_chars=50), reason="größe " * 20)
    heard = list[Message | None]()

    async def drip() -> None:
        await theirs.send_all(peer.greet())
        peer.receive_data(bytes(await theirs.receive_some()))
        assert isinstance(peer.next_message(), Hello)
        for byte in peer.send(sent) + peer.send(Acknowledge(run=RunId(4))):
            await theirs.send_all(bytes([byte]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        await worker.greet()
        heard += [await worker.receive(), await worker.receive()]

    assert heard == [sent, Acknowledge(run=RunId(4))]
