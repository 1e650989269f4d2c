"""The client at a terminal: a pseudo-terminal for its stdout and stderr."""

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping

from client.conftest import Ran


def at_terminal(*argv: str, columns: int = 100, environ: Mapping[str, str] | None = None) -> Ran:
    """Run one command line at a terminal; `out` is all that the terminal got, stderr included."""
    ours, theirs = os.openpty()
    attributes = termios.tcgetattr(theirs)
    attributes[1] &= ~termios.OPOST  # the terminal's own \n → \r\n would blur what the client wrote
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", **(environ or {})}
    client = subprocess.Popen(
        [sys.executable, "-m", "expctl", *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # Linux ends a pseudo-terminal with EIO
        while data := os.read(ours, 65536):
            written += data
    os.close(ours)
    return Ran(code=client.wait(30), out=written.decode("utf-8", "surrogateescape"), err="")
