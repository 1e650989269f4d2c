"""`expctl cancel`: end entries, in whatever state they are."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.status import show_entries
from expctl.fields import entries_of
from expctl.output import Output
from expctl.transport import ask


def run(arguments: Arguments, output: Output) -> int:
    """Cancel, and show the entries as they are now; what runs may need its grace time to end."""
    pages, _ = ask(requests.cancel(os.getcwd(), arguments.entries, arguments.signal))  # noqa: PTH109 - pathlib costs 10 ms
    show_entries(entries_of(pages), output)
    return 0
