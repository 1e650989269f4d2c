"""The run log: what the commands write, as they write it, and our own lines only where a person would miss them."""

import contextlib
import os
from pathlib import Path


class RunLog:
    """Opened before anything else of a run; `descriptor` is handed to the commands as their output."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(self, text: str) -> None:
        """Add a line of ours, whole, in one write; a full disk must not end a run over a remark."""
        try:
            os.write(self.descriptor, (text.rstrip("\n") + "\n").encode("utf-8", "backslashreplace"))
        except OSError:
            return

    def sync(self) -> None:
        """Put what was written on the disk; a disk that can't must not end a run that has an outcome."""
        with contextlib.suppress(OSError):
            os.fsync(self.descriptor)

    def close(self) -> None:
        """Give the descriptor back; commands that still run keep theirs."""
        os.close(self.descriptor)
