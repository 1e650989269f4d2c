"""Whom the kernel ends first when memory runs out: a command before its worker, and both before the daemon."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

_SCORE = Path("/proc/self/oom_score_adj")
_MORE, _MOST = 200, 1000
"""Thousandths of the memory, added to what a process uses (proc(5)): a fifth, more than a worker or a daemon ever has."""
_starting = threading.Lock()
"""The score is the whole process's."""


@contextlib.contextmanager
def sacrificed_first() -> Iterator[None]:
    """What is started inside is ended before this process: a child inherits the score. Anybody may raise it, and lower it again.

    Where the system has no such score, or does not let us, nothing is different.
    """
    with _starting:
        own = _raise_score()
        try:
            yield
        finally:
            if own is not None:
                with contextlib.suppress(OSError):
                    _SCORE.write_text(str(own), encoding="ascii")


def _raise_score() -> int | None:
    """Raise our own; gives what it was, None if it is as before."""
    try:
        own = int(_SCORE.read_text(encoding="ascii"))
        _SCORE.write_text(str(min(own + _MORE, _MOST)), encoding="ascii")
    except (OSError, ValueError):
        return None
    return own
