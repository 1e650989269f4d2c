"""The outcome record: what a worker leaves on the disk before it reports the end of a run, for whoever did not hear it."""

from pathlib import Path

from expd.linux.durable import write_durably
from expproto.codec import decode, encode
from expproto.errors import ProtocolError
from expproto.messages import message_from_map, message_to_map
from expproto.work import RunEnded


def write_record(ended: RunEnded, path: Path) -> None:
    """Write an outcome durably; blocks. Raises OSError."""
    write_durably(path, encode(message_to_map(ended)))


def read_record(path: Path) -> RunEnded | None:
    """Read the outcome a worker left; None if there is none, or none that is whole. Blocks."""
    try:
        message = message_from_map(decode(path.read_bytes()))
    except (OSError, ProtocolError):
        return None
    return message if isinstance(message, RunEnded) else None
