"""Frames: a length, then that many bytes. Whatever exceeds the limit is refused on its header, before it is buffered.

Light core: imports nothing but errors. A frame is a 4-byte big-endian length and a body of that length.
"""

from expproto.errors import BAD_FRAME, RemoteProtocolError

HEADER_BYTES = 4

FRAME_BYTES_MAX = 4 * 1024 * 1024
"""4 MiB. The largest honest frame is a submission: Linux bounds what one process can be given (environment and
arguments) to a quarter of the stack limit, 2 MiB by default, and a page of entries stays below it by construction."""


def encode_frame(body: bytes) -> bytes:
    """Put the header before one body; raises ValueError above the limit."""
    if len(body) > FRAME_BYTES_MAX:
        raise ValueError(f"a frame holds at most {FRAME_BYTES_MAX} bytes, this one has {len(body)}")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


class FrameReader:
    """Bytes in, bodies out; keeps at most one frame and what arrived with it."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self.frame_bytes_max = frame_bytes_max

    def receive_data(self, data: bytes) -> None:
        """Keep bytes as they arrived, in pieces of any size."""
        self._buffer += data

    def next_frame(self) -> bytes | None:
        """Give the next body, or None if it isn't complete; raises RemoteProtocolError on a length above the limit."""
        if len(self._buffer) < HEADER_BYTES:
            return None
        length = int.from_bytes(self._buffer[:HEADER_BYTES], "big")
        if length > self.frame_bytes_max:
            raise RemoteProtocolError(BAD_FRAME, f"a frame of {length} bytes exceeds {self.frame_bytes_max}")
        end = HEADER_BYTES + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[HEADER_BYTES:end])
        del self._buffer[:end]
        return body

    @property
    def is_empty(self) -> bool:
        """Tell whether the stream stands between two frames."""
        return not self._buffer
