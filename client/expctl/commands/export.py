"""`expctl export`: an entry or a sweep as one file, for another clone."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.fields import Fields
from expctl.output import Output
from expctl.transport import ask


def run(arguments: Arguments, output: Output) -> int:
    """Export, and say what the other clone has to have."""
    cwd = os.getcwd()  # noqa: PTH109 - pathlib costs 10 ms
    file = os.path.join(cwd, arguments.file)  # noqa: PTH118 - as above
    done = Fields(ask(requests.export(cwd, arguments.entry, file, arguments.since))[1])
    output.show(
        document=lambda: {name: value for name, value in done.plain.items() if name != "kind"},
        names=lambda: f"{done.text('file')}\n",
        lines=lambda: f"{done.text('file')}\t{done.integer('size')}\n",
        table=lambda: f"{done.text('file')}  {done.integer('size')} bytes\n",
    )
    base = arguments.since or done.text("baseline_rev")[:12]
    output.words(
        f"{done.integer('count')} entries, without their environment; `expctl import` takes them in any clone that has {base}"
    )
    return 0
