"""`expctl remove`: entries that are done leave the queue; their experiments stay."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.status import show_entries
from expctl.fields import Fields, entries_of
from expctl.output import Output
from expctl.render.terminal import visible
from expctl.transport import ask
from expctl.trouble import Trouble
from expproto.errors import USAGE


def run(arguments: Arguments, output: Output) -> int:
    """Remove, and show what was removed."""
    if bool(arguments.entries) == arguments.done:
        raise Trouble(USAGE, {"what": "name the entries to remove, or all of this repository that ended with --done"})
    pages, reply = ask(requests.remove(os.getcwd(), arguments.entries, done=arguments.done))  # noqa: PTH109 - as everywhere
    show_entries(entries_of(pages), output)
    problems = Fields(reply).texts("problems")
    for problem in problems:
        output.words(f"expctl: {visible(problem)}")
    return 1 if problems else 0
