"""`expctl resume`: start entries again."""

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.jobs import show_pool
from expctl.output import Output
from expctl.transport import ask


def run(_: Arguments, output: Output) -> int:
    """Resume, and show the pool."""
    show_pool(ask(requests.resume())[1], output)
    return 0
