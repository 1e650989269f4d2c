"""The bytes of one message of each kind, checked in as golden_v<version>.txt. Run as a program it writes that file anew."""

from pathlib import Path

from expproto import PROTOCOL_VERSION
from expproto.codec import encode
from expproto.frames import encode_frame
from expproto.messages import message_to_map
from protocol.samples import fixed_samples

PATH = Path(__file__).with_name(f"golden_v{PROTOCOL_VERSION}.txt")

HINT = (
    "The bytes of a message changed. If older peers can't read the new ones, raise PROTOCOL_VERSION in "
    "protocol/expproto/__init__.py; then write the file anew: PYTHONPATH=tests python tests/protocol/golden.py"
)


def golden_text() -> str:
    """Give a line a kind: the kind, and the hexadecimal bytes of its frame."""
    frames = {kind: encode_frame(encode(message_to_map(message))) for kind, message in fixed_samples().items()}
    return "".join(f"{kind} {frame.hex()}\n" for kind, frame in frames.items())


if __name__ == "__main__":
    PATH.write_text(golden_text(), encoding="utf-8")
