"""The program a worker is: `python -m expd.execute SOCKET`, its token in the environment. Knows no daemon's insides."""

import gc
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import trio

from expd.execute.worker import Worker
from expd.journal import open_journal
from expd.linux.cgroups import GROUP_VARIABLE, WORKERS_GROUP, enter
from expd.linux.processes import WORKER_TOKEN_VARIABLE, become_subreaper


def main() -> int:
    """Work until there is no daemon and nothing to do; a daemon's Ctrl-C is not ours."""
    token = os.environ.pop(WORKER_TOKEN_VARIABLE)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _pass_over)
    open_journal(os.environ, verbose=False)
    become_subreaper()
    group = os.environ.pop(GROUP_VARIABLE, "")
    delegated = Path(group) if group and enter(Path(group, WORKERS_GROUP)) else None
    gc.freeze()  # what was imported stays: no collection need look through it again
    trio.run(Worker(Path(sys.argv[1]), token, delegated).work)
    return 0


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: a handler, because an ignored signal would stay ignored in every command, a handled one does not."""


if __name__ == "__main__":
    sys.exit(main())
