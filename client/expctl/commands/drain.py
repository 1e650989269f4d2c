"""`expctl drain`: start nothing more, and wait until nothing runs."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.jobs import show_pool
from expctl.fields import entries_of
from expctl.output import Output
from expctl.transport import ask
from expproto.vocabulary import ACTIVE_STATES


def run(_: Arguments, output: Output) -> int:
    """Pause, wait for what runs, and show the pool; an interrupt ends the waiting only."""
    cwd = os.getcwd()  # noqa: PTH109 - as everywhere in the client
    ask(requests.pause())
    active = [entry for entry in entries_of(ask(requests.status(cwd, ()))[0]) if entry.state in ACTIVE_STATES]
    if active:
        output.words(f"expctl: waiting for {len(active)} to end")
        try:
            ask(requests.wait(cwd, [str(entry.id) for entry in active]))
        except KeyboardInterrupt:
            output.words("expctl: no longer waiting; the queue stays paused: expctl resume")
            raise
    show_pool(ask(requests.set_jobs(None))[1], output)
    return 0
