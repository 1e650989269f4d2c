"""`expctl edit`: change entries that wait."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.status import show_entries
from expctl.fields import entries_of
from expctl.output import Output
from expctl.transport import ask


def run(arguments: Arguments, output: Output) -> int:
    """Change them, and show the entries as they are now."""
    request = requests.edit(
        os.getcwd(),  # noqa: PTH109 - pathlib costs 10 ms
        arguments.entries,
        priority=arguments.priority,
        group=arguments.group,
        not_before=arguments.at,
    )
    pages, _ = ask(request)
    show_entries(entries_of(pages), output)
    return 0
