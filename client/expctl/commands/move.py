"""`expctl move`: change the order of what waits."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.status import show_entries
from expctl.fields import entries_of
from expctl.output import Output
from expctl.transport import ask
from expctl.trouble import Trouble
from expproto.errors import USAGE


def run(arguments: Arguments, output: Output) -> int:
    """Move, and show the entries as they are now."""
    if arguments.top == (arguments.before is not None):
        raise Trouble(USAGE, {"what": "say where to: --top, or --before ID"})
    pages, _ = ask(requests.move(os.getcwd(), arguments.entries, arguments.before))  # noqa: PTH109 - pathlib costs 10 ms
    show_entries(entries_of(pages), output)
    return 0
