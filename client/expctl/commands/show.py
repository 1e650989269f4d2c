"""`expctl show`: the experiments of HEAD, or all of one."""

from __future__ import annotations

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.fields import Fields, experiments_of
from expctl.output import Output
from expctl.render import experiments as render
from expctl.transport import ask
from expctl.trouble import Trouble
from expproto.errors import USAGE


def run(arguments: Arguments, output: Output) -> int:
    """Show one experiment if one is named, else all of HEAD."""
    cwd = os.getcwd()  # noqa: PTH109 - as everywhere in the client
    if arguments.csv and (arguments.experiment or output.as_json):
        raise Trouble(USAGE, {"what": "--csv is for the list of experiments, and excludes --json"})
    if arguments.experiment:
        from expctl.inspecting import inspect, show_one  # noqa: PLC0415 - the typed messages cost more than a whole list

        show_one(inspect(cwd, arguments.experiment), output)
    else:
        _show_all(cwd, output, is_csv=arguments.csv)
    return 0


def _show_all(cwd: str, output: Output, *, is_csv: bool) -> None:
    pages, reply = ask(requests.show(cwd))
    shown, found = render.Baseline(Fields(reply)), experiments_of(pages)
    if is_csv:
        output.data(render.csv_text(shown, found))
        return
    output.show(
        document=lambda: render.document(shown, found),
        names=lambda: "".join(f"{experiment.name}\n" for experiment in found if experiment.rev is not None),
        lines=lambda: render.plain(found),
        table=lambda: render.page(shown, found),
    )
    if not found:
        output.words(f"{shown.rev[:7]} has no experiments yet: expctl submit")
