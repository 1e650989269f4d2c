"""All of one experiment, asked for and shown: for `show NAME` and `inspect NAME`."""

from expctl.output import Output
from expctl.render import experiment as render_one
from expctl.transport import ask
from expproto.messages import message_from_map, message_to_map
from expproto.replies import Inspected
from expproto.requests import Inspect


def inspect(cwd: str, experiment: str) -> Inspected:
    """Ask for all of one experiment."""
    reply = message_from_map(ask(message_to_map(Inspect(cwd=cwd, experiment=experiment)))[1])
    assert isinstance(reply, Inspected)
    return reply


def show_one(found: Inspected, output: Output, *, with_context: bool = False) -> None:
    """Show all of one experiment, and in what it took place."""
    output.show(
        document=lambda: render_one.document(found),
        names=lambda: f"{found.name if found.entry is None else found.entry.id}\n",
        lines=lambda: render_one.plain(found, with_context=with_context),
        table=lambda: render_one.page(found, with_context=with_context),
    )
