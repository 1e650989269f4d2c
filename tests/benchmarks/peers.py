"""Where the peers are that aren't in our own environment: `make bench-peers` puts them below `.venv/peers`."""

import shutil
import subprocess
import sys
from pathlib import Path

_PEERS = Path(sys.prefix) / "peers"
_MAKE = "`make bench-peers` brings it"


def spooler() -> str:
    """Give task-spooler's program, by its name if it is nowhere."""
    ours = _PEERS / "usr" / "bin" / "tsp"
    return str(ours) if ours.exists() else shutil.which("tsp") or "tsp"


def spooler_missing() -> str | None:
    """Say why task-spooler can't be run."""
    return None if shutil.which(spooler()) else f"task-spooler is not installed: {_MAKE}"


def hyperqueue_python() -> str:
    """Give the interpreter that has HyperQueue."""
    ours = _PEERS / "bin" / "python"
    return str(ours) if ours.exists() else sys.executable


def hyperqueue_missing() -> str | None:
    """Say why HyperQueue can't be run."""
    found = subprocess.run([hyperqueue_python(), "-c", "import hyperqueue"], capture_output=True, check=False)
    return None if found.returncode == 0 else f"HyperQueue is not installed: {_MAKE}"
