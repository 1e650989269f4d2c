"""One conversation over a stream: messages in, messages out, whole or not at all.

A send that fails or is cancelled may leave half a frame on its way; the stream is closed then and never written again.
"""

import os

import trio

from expproto.connection import Connection, NeedData, Role
from expproto.messages import Message

_RECEIVE_BYTES = 64 * 1024


class Wire:
    """A stream that speaks the protocol in one role. One task may receive while others send."""

    def __init__(self, stream: trio.abc.Stream, role: Role) -> None:
        self.connection = Connection(role)
        self._stream = stream
        self._sending = trio.Lock()

    async def greet(self) -> None:
        """Exchange Hellos; raises RemoteProtocolError if the peer speaks another version, EndOfChannel if it left."""
        async with self._sending:
            await self._send_bytes(self.connection.greet())
        if await self.receive() is None:
            raise trio.EndOfChannel

    async def receive(self) -> Message | None:
        """Receive one message; None at the end of the stream. Raises RemoteProtocolError and trio's stream errors."""
        while isinstance(message := self.connection.next_message(), NeedData):
            data = await self._stream.receive_some(_RECEIVE_BYTES)
            if not data:
                return None
            self.connection.receive_data(bytes(data))
        return message

    async def receive_more(self) -> bool:
        """Take in what comes without reading it; False at the end of the stream."""
        data = await self._stream.receive_some(_RECEIVE_BYTES)
        self.connection.receive_data(bytes(data))
        return bool(data)

    async def send(self, message: Message) -> None:
        """Send one message whole; waits for a slow reader."""
        async with self._sending:
            await trio.lowlevel.checkpoint_if_cancelled()  # no byte of it is sent yet: nothing is torn
            await self._send_bytes(self.connection.send(message))

    def keep_open(self) -> None:
        """Let the peer see the end of the stream when this process has ended, and not before it has cleaned up."""
        if isinstance(self._stream, trio.SocketStream):
            os.dup(self._stream.socket.fileno())

    async def close(self) -> None:
        """Close without ceremony, also when the caller is being cancelled."""
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)

    async def _send_bytes(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)
            raise
