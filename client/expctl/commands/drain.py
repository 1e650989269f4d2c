"""`expctl drain`: start nothing more, and wait until nothing runs."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.jobs import show_pool
from expctl.fields import Fields
from expctl.output import Output
from expctl.transport import ask


def run(_: Arguments, output: Output) -> int:
    """Pause, wait until nothing runs, and show the pool; an interrupt ends the waiting only."""
    cwd = os.getcwd()  # noqa: PTH109 - as everywhere in the client
    running = Fields(ask(requests.pause())[1]).integer("running")
    if running:
        output.words(f"expctl: waiting for {running} to end")
        try:
            ask(requests.wait_until_idle(cwd))
        except KeyboardInterrupt:
            output.words("expctl: no longer waiting; the queue stays paused: expctl resume")
            raise
    show_pool(ask(requests.set_jobs(None))[1], output)
    return 0
