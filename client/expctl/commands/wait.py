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
    return wait_for(arguments.entries, output, arguments.timeout)


def wait_for(names: Sequence[str], output: Output, timeout: float | None = None) -> int:
    """Wait for entries by id or name, or for all if none is given, at most so many seconds; the rest is as `run` does it."""
    deadline = None if timeout is None else time.monotonic() + timeout
    request = requests.wait(os.getcwd(), names)  # noqa: PTH109 - pathlib costs 10 ms
    try:
        pages, _ = ask(request, deadline=deadline)
    except TimeoutError:
        raise Trouble(TIMEOUT, {"seconds": f"{timeout:g}"}) from None
    except KeyboardInterrupt:
        output.words("expctl: no longer waiting; everything goes on")
        raise
    entries = entries_of(pages)
    show_entries(entries, output)
    return exit_code(entries, is_one_named=len(names) == 1)


def exit_code(entries: Sequence[Entry], *, is_one_named: bool) -> int:
    """Pass on how the one entry ended that was named; of several, tell only whether all succeeded."""
    from expctl.exit_codes import outcome_exit_code  # noqa: PLC0415 - typed messages cost 35 ms; the wait is over now

    codes = [outcome_exit_code(entry.outcome) for entry in entries]
    if is_one_named and len(codes) == 1:
        return codes[0]
    return int(any(codes))
