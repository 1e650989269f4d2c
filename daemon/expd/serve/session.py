"""One connection from its first byte to its last: whose it is, what it asks, and that its errors end nobody else.

The peer's user is checked before a byte is read. One of the two places that catch every exception stands here: a bug
in a handler costs its client the answer, and nothing more.
"""

import logging
import os
import secrets
import socket
import struct

import trio

from expd.serve.listener import Door, Greeted, TooManyClients
from expd.serve.refusals import refusal_for
from expd.serve.services import Answer, Services
from expd.serve.verbs import handle
from expd.wire import Wire
from expproto.connection import Turn
from expproto.errors import EXHAUSTED, INTERNAL, OUT_OF_TURN, VERSION_MISMATCH, ProtocolError, RemoteProtocolError
from expproto.replies import Refusal, Reply
from expproto.requests import Request, Stop
from expproto.work import Register

_journal = logging.getLogger("expd.serve")

GREETING_SECONDS = 10.0
"""For a client's Hello: it is sent with the connect; what is silent for so long is stuck or hostile."""
_LEFT = (trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel, trio.TooSlowError)
"""How a peer's leaving shows."""
_TOO_EARLY = "a second request came before the first was answered"
_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7)


async def serve_connection(
    stream: trio.SocketStream, services: Services, door: Door, greeted: Greeted = lambda: None
) -> None:
    """Serve one connection to its end, whatever comes over it."""
    wire = Wire(stream, "daemon")
    try:
        if (pid := _pid_of_ours(stream)) is not None:
            await _converse(wire, pid, services, door, greeted)
    except Exception as error:  # noqa: BLE001 - the boundary around a connection
        await _end_badly(wire, causes(error))
    finally:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)


def causes(error: Exception) -> list[Exception]:
    """Take exception groups apart: what really happened."""
    if isinstance(error, ExceptionGroup):
        return [cause for inner in error.exceptions for cause in causes(inner)]
    return [error]


async def _end_badly(wire: Wire, errors: list[Exception]) -> None:
    """Tell a peer which rule it broke; a peer that left needs no word, and a bug goes into the journal."""
    for error in errors:
        if isinstance(error, ProtocolError):
            await _say_why(wire, error)
        elif isinstance(error, _LEFT):
            _journal.debug("a connection ended early: %r", error)
        else:
            _journal.error("a connection met a bug", exc_info=error)


def _pid_of_ours(stream: trio.SocketStream) -> int | None:
    """Give the peer's process if it is of our own user (or root), by the kernel's word; else None."""
    credentials = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    assert isinstance(credentials, bytes)
    pid, uid, _gid = map(int, _UCRED.unpack(credentials))
    if uid in {os.geteuid(), 0}:
        return pid
    _journal.warning("user %s (process %s) may not connect", uid, pid)
    return None


async def _say_why(wire: Wire, error: ProtocolError) -> None:
    """Tell a peer that broke a rule which one, as far as it still listens."""
    _journal.info("a conversation broke: %s", error)
    try:
        with trio.move_on_after(1):
            await wire.send(Refusal(code=error.code, data={"what": error.what}))
    except (ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def _converse(wire: Wire, pid: int, services: Services, door: Door, greeted: Greeted) -> None:
    with trio.fail_after(GREETING_SECONDS):
        try:
            await wire.greet()
        except RemoteProtocolError as error:
            if error.code == VERSION_MISMATCH:
                services.pool.set_deaf(pid)
            raise
    assert wire.connection.peer is not None
    if wire.connection.peer.role == "worker":
        with trio.fail_after(GREETING_SECONDS):
            register = await wire.receive()
        greeted()
        if isinstance(register, Register):
            await services.pool.attend(register, wire)
        return
    greeted()
    try:
        with door.a_client():
            await _answer_all(wire, services)
    except TooManyClients as error:
        await _refuse_the_first(wire, Refusal(code=EXHAUSTED, data={"what": str(error)}))


async def _refuse_the_first(wire: Wire, refusal: Refusal) -> None:
    """Answer one request with a refusal, so that whoever asked hears why, and no other."""
    with trio.move_on_after(GREETING_SECONDS):
        if await wire.receive() is not None:
            await wire.send(refusal)


async def _answer_all(wire: Wire, services: Services) -> None:
    """Answer a client's requests, one after the other, to the end of the connection."""
    while (request := await wire.receive()) is not None:
        assert isinstance(request, Request)
        if isinstance(request, Stop):
            wire.keep_open()
        if not await _answer_while_listening(wire, request, services):
            return


async def _answer_while_listening(wire: Wire, request: Request, services: Services) -> bool:
    """Answer one request; if the client leaves meanwhile, stop working for it. Gives whether it is still there."""
    if not wire.connection.is_between_messages:
        raise RemoteProtocolError(OUT_OF_TURN, _TOO_EARLY)
    stays = True
    async with trio.open_nursery() as nursery:

        async def notice_leaving() -> None:
            nonlocal stays
            if not await wire.receive_more():
                stays = False
                nursery.cancel_scope.cancel()
            elif wire.connection.turn is Turn.ANSWERING:  # else the answer is out, and this is the next request
                raise RemoteProtocolError(OUT_OF_TURN, _TOO_EARLY)

        nursery.start_soon(notice_leaving)
        reply = await _reply_to(request, services, wire.send)
        await wire.send(reply)
        nursery.cancel_scope.cancel()
    return stays


async def _reply_to(request: Request, services: Services, answer: Answer) -> Reply:
    """Give the handler's reply, or the refusal for what went wrong."""
    try:
        return await handle(request, services, answer)
    except Exception as error:  # noqa: BLE001 - the boundary around a request
        failed = causes(error)
    for cause in failed:
        if isinstance(cause, (*_LEFT, ProtocolError)):
            raise cause
    return _refusal(request, failed[0])


def _refusal(request: Request, failed: Exception) -> Refusal:
    refusal = refusal_for(failed)
    if refusal is None:
        incident = secrets.token_hex(4)
        _journal.error("incident %s: %s met a bug", incident, request.kind, exc_info=failed)
        refusal = Refusal(code=INTERNAL, data={"what": repr(failed), "incident": incident})
    return refusal
