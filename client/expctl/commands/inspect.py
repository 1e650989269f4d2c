"""`expctl inspect`: all of one experiment, and in what it took place."""

import os

from expctl.arguments import Arguments
from expctl.inspecting import inspect, show_one
from expctl.output import Output


def run(arguments: Arguments, output: Output) -> int:
    """Show it; what is not known of the context is said."""
    found = inspect(os.getcwd(), arguments.experiment)  # noqa: PTH109 - as everywhere in the client
    show_one(found, output, with_context=True)
    if found.context is None:
        output.words("no context is known: the run has not ended, or vanished, or its notes were not fetched")
    return 0
