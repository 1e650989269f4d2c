"""`expctl edit`: change entries that wait."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.status import show_entries
from expctl.fields import entries_of
from expctl.output import Output
from expctl.retries import causes
from expctl.transport import ask

NOTHING = "none"
"""What `--after` says for waiting for nothing."""


def run(arguments: Arguments, output: Output) -> int:
    """Change them, and show the entries as they are now."""
    changes: dict[str, object] = {
        "priority": arguments.priority,
        "group": arguments.group,
        "not_before": arguments.at,
        "after": [text for text in arguments.after if text != NOTHING] if arguments.after else None,
        "time_seconds": arguments.time_limit,
        "stall_seconds": arguments.stall_limit,
        "memory_bytes": arguments.mem,
        "cpus": arguments.cpus,
        "retries": arguments.retries,
        "causes": None if arguments.retry_on is None else causes(arguments.retry_on),
        "backoff_seconds": arguments.backoff,
    }
    cwd = os.getcwd()  # noqa: PTH109 - pathlib costs 10 ms
    pages, _ = ask(requests.edit(cwd, arguments.entries, changes, arguments.set_param))
    show_entries(entries_of(pages), output)
    return 0
