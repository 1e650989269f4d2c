"""`expctl run-now`: run entries at once, beyond the slots there are."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.status import show_entries
from expctl.fields import entries_of
from expctl.output import Output
from expctl.transport import ask


def run(arguments: Arguments, output: Output) -> int:
    """Let them run, and show the entries as they are now."""
    pages, _ = ask(requests.run_now(os.getcwd(), arguments.entries))  # noqa: PTH109 - pathlib costs 10 ms
    show_entries(entries_of(pages), output)
    return 0
