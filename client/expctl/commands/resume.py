"""`expctl resume`: go on, with what was paused, or with runs where they ended."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.jobs import show_pool
from expctl.commands.status import show_entries
from expctl.fields import entries_of
from expctl.output import Output
from expctl.transport import ask
from expctl.trouble import Trouble
from expproto.errors import USAGE


def run(arguments: Arguments, output: Output) -> int:
    """Go on with the entries named, and show them as they are now; with the queue if none is named."""
    if arguments.entries and arguments.group is not None:
        raise Trouble(USAGE, {"what": "go on with entries, or with a group of the queue"})
    if arguments.entries:
        cwd = os.getcwd()  # noqa: PTH109 - pathlib costs 10 ms
        environment = requests.submitted_environment(os.environb)
        pages, _ = ask(requests.resume_runs(cwd, arguments.entries, force=arguments.force, environment=environment))
        show_entries(entries_of(pages), output)
    elif arguments.force:
        raise Trouble(USAGE, {"what": "--force is for entries: expctl resume --force ID"})
    else:
        show_pool(ask(requests.resume(arguments.group))[1], output, arguments.group)
    return 0
