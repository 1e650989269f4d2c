"""`expctl pause`: start nothing more, and with --freeze let what runs stand still."""

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.jobs import show_pool
from expctl.output import Output
from expctl.transport import ask


def run(arguments: Arguments, output: Output) -> int:
    """Pause, and show the pool."""
    show_pool(ask(requests.pause(arguments.group, freeze=arguments.freeze))[1], output, arguments.group)
    return 0
