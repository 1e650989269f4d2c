"""`expctl wait`: return when entries are done."""

from __future__ import annotations

import os
import time

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.status import show_entries
from expctl.fields import Entry, entries_of
from expctl.output import Output
from expctl.transport import ask
from expctl.trouble import TIMEOUT, Trouble
from expproto.errors import USAGE

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Sequence


def run(arguments: Arguments, output: Output) -> int:
    """Wait, show how the entries ended, and give the exit code of that."""
    if arguments.all and arguments.entries:
        raise Trouble(USAGE, {"what": "--all and ids exclude each other"})
    deadline = None if arguments.timeout is None else time.monotonic() + arguments.timeout
    request = requests.wait(os.getcwd(), arguments.entries)  # noqa: PTH109 - pathlib costs 10 ms
    try:
        pages, _ = ask(request, deadline=deadline)
    except TimeoutError:
        raise Trouble(TIMEOUT, {"seconds": f"{arguments.timeout:g}"}) from None
    except KeyboardInterrupt:
        output.words("expctl: no longer waiting; everything goes on")
        raise
    entries = entries_of(pages)
    show_entries(entries, output)
    return exit_code(entries, is_one_named=len(arguments.entries) == 1)


def exit_code(entries: Sequence[Entry], *, is_one_named: bool) -> int:
    """Pass on how the one entry ended that was named; of several, tell only whether all succeeded."""
    from expctl.exit_codes import outcome_exit_code  # noqa: PLC0415 - typed messages cost 35 ms; the wait is over now

    codes = [outcome_exit_code(entry.outcome) for entry in entries]
    if is_one_named and len(codes) == 1:
        return codes[0]
    return int(any(codes))
