"""`expctl why`: how an entry came to be as it is, and what to do about it."""

import os

from expctl.arguments import Arguments
from expctl.output import Output
from expctl.render import why as render
from expctl.transport import ask
from expproto.messages import message_from_map, message_to_map
from expproto.replies import Diagnosed
from expproto.requests import Why


def run(arguments: Arguments, output: Output) -> int:
    """Tell it; the exit code says only whether it could be told."""
    cwd = os.getcwd()  # noqa: PTH109 - as everywhere in the client
    found = message_from_map(ask(message_to_map(Why(cwd=cwd, entry=arguments.entry, attempt=arguments.attempt)))[1])
    assert isinstance(found, Diagnosed)
    output.show(
        document=lambda: render.document(found),
        names=lambda: f"{found.entry.id}\n",
        lines=lambda: render.plain(found),
        table=lambda: render.page(found),
    )
    return 0
