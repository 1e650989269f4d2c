"""`expctl rename`: give an entry, and its experiment, another name."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.status import show_entries
from expctl.fields import entries_of
from expctl.output import Output
from expctl.transport import ask


def run(arguments: Arguments, output: Output) -> int:
    """Rename, and show the entry under its new name."""
    request = requests.rename(os.getcwd(), arguments.entry, arguments.new_name)  # noqa: PTH109 - pathlib costs 10 ms
    pages, _ = ask(request)
    show_entries(entries_of(pages), output)
    return 0
