"""`expctl retry`: another attempt at entries that are done."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.status import show_entries
from expctl.fields import entries_of
from expctl.limits import run_limits
from expctl.output import Output
from expctl.transport import ask
from expctl.trouble import Trouble
from expproto.errors import USAGE


def run(arguments: Arguments, output: Output) -> int:
    """Queue them again, and show the entries as they are now."""
    if bool(arguments.entries) == arguments.failed:
        raise Trouble(USAGE, {"what": "name the entries to run again, or all that did not succeed with --failed"})
    # Used for entries alone whose own is not kept any more: they succeeded, or failed long ago.
    environment = requests.submitted_environment(os.environb)
    request = requests.retry(
        os.getcwd(),  # noqa: PTH109 - pathlib costs 10 ms
        arguments.entries,
        failed=arguments.failed,
        force=arguments.force,
        environment=environment,
        limits=run_limits(arguments),
        overrides=arguments.set_param,
        name=arguments.name,
    )
    pages, _ = ask(request)
    entries = entries_of(pages)
    show_entries(entries, output)
    if not entries:
        output.words("nothing to run again")
    return 0
