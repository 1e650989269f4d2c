"""`expctl engines`: who executes entries, on which hosts, and what runs there."""

from expctl.arguments import Arguments
from expctl.output import Output
from expctl.render import engines as render
from expctl.transport import ask
from expproto.messages import message_from_map, message_to_map
from expproto.replies import EnginesShown
from expproto.requests import Engines


def run(_: Arguments, output: Output) -> int:
    """Show the engines."""
    shown = message_from_map(ask(message_to_map(Engines()))[1])
    assert isinstance(shown, EnginesShown)
    output.show(
        document=lambda: render.document(shown),
        names=lambda: "".join(f"{engine.name}\n" for engine in shown.engines),
        lines=lambda: render.plain(shown),
        table=lambda: render.page(shown),
    )
    for words in render.troubles(shown):
        output.words(words)
    return 0
