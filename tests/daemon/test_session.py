"""A conversation's beginning, under a clock of its own: who does not speak in time is not waited for."""

import socket
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from expd.serve.listener import Door
from expd.serve.services import Services
from expd.serve.session import GREETING_SECONDS, causes, serve_connection
from expproto.codec import decode
from expproto.connection import Connection
from expproto.frames import FrameReader

NO_SERVICES = cast("Services", None)
"""Nothing before the first request needs any."""


async def converse(sent: bytes, *, leave: bool = False) -> tuple[list[str], float]:
    """Connect, send bytes and nothing more; gives the kinds of what the daemon said, and when it closed."""
    ours, theirs = socket.socketpair()
    peer = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    frames, said = FrameReader(), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            serve_connection, trio.SocketStream(trio.socket.from_stdlib_socket(theirs)), NO_SERVICES, Door()
        )
        await peer.send_all(sent)
        if leave:
            await peer.send_eof()
        while data := await peer.receive_some():
            frames.receive_data(bytes(data))
            while (body := frames.next_frame()) is not None:
                said.append(str(decode(body)["kind"]))
    await peer.aclose()
    return said, trio.current_time()


WORKER_HELLO = Connection("worker").greet()


@pytest.mark.parametrize(
    "sent", [b"", b"\0\0", b"\0\0\0\x40half of it", Connection("client").greet()[:-1]],
    ids=["nothing", "half a header", "half a frame", "all but a byte"],
)  # fmt: skip
async def test_a_silent_client_is_let_go(autojump_clock: MockClock, sent: bytes) -> None:
    """Whoever has not greeted within the greeting time is closed then, having heard our Hello."""
    start = autojump_clock.current_time()

    said, closed_at = await converse(sent)

    assert (said, closed_at - start) == (["hello"], GREETING_SECONDS)


async def test_a_worker_that_does_not_register_is_let_go(autojump_clock: MockClock) -> None:
    """A peer that greets as a worker, and then says nothing, holds its place no longer than the greeting time."""
    start = autojump_clock.current_time()

    said, closed_at = await converse(WORKER_HELLO)

    assert (said, closed_at - start) == (["hello"], GREETING_SECONDS)


async def test_a_client_that_greeted_may_think(autojump_clock: MockClock) -> None:
    """After its Hello a client may take its time: the connection stays, and is closed when the client leaves."""
    start = autojump_clock.current_time()
    ours, theirs = socket.socketpair()
    peer = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            serve_connection, trio.SocketStream(trio.socket.from_stdlib_socket(theirs)), NO_SERVICES, Door()
        )
        await peer.send_all(Connection("client").greet())
        await trio.sleep(100 * GREETING_SECONDS)
        passed, still_there = autojump_clock.current_time() - start, bool(nursery.child_tasks)
        await peer.aclose()

    assert (passed, still_there) == (100 * GREETING_SECONDS, True)


async def test_a_peer_that_leaves_at_once_is_no_trouble(autojump_clock: MockClock) -> None:
    """Connected and gone: closed at once, with nothing but the Hello."""
    start = autojump_clock.current_time()

    assert await converse(b"", leave=True) == (["hello"], start)


def test_what_really_happened_is_found_in_any_group() -> None:
    """Exceptions that nurseries have wrapped, however deep, are taken out."""
    first, second, third = ValueError("1"), KeyError("2"), OSError("3")

    found = causes(ExceptionGroup("a", [first, ExceptionGroup("b", [second, ExceptionGroup("c", [third])])]))

    assert found == [first, second, third]
