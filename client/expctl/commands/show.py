"""`expctl show`: the experiments of HEAD, or all of one."""

import os

from expctl.arguments import Arguments
from expctl.output import Output
from expctl.render import experiment as render_one
from expctl.render import experiments as render_all
from expctl.transport import ask
from expctl.trouble import Trouble
from expproto.errors import USAGE
from expproto.messages import message_from_map, message_to_map
from expproto.records import ExperimentRecord
from expproto.replies import ExperimentPage, Inspected, Shown
from expproto.requests import Inspect, Show


def run(arguments: Arguments, output: Output) -> int:
    """Show one experiment if one is named, else all of HEAD."""
    cwd = os.getcwd()  # noqa: PTH109 - as everywhere in the client
    if arguments.csv and (arguments.experiment or output.as_json):
        raise Trouble(USAGE, {"what": "--csv is for the list of experiments, and excludes --json"})
    if arguments.experiment:
        show_one(inspect(cwd, arguments.experiment), output)
    else:
        _show_all(cwd, output, is_csv=arguments.csv)
    return 0


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


def _show_all(cwd: str, output: Output, *, is_csv: bool) -> None:
    pages, last = ask(message_to_map(Show(cwd=cwd)))
    shown = message_from_map(last)
    assert isinstance(shown, Shown)
    found: list[ExperimentRecord] = []
    for page in map(message_from_map, pages):
        assert isinstance(page, ExperimentPage)
        found.extend(page.experiments)
    if is_csv:
        output.data(render_all.csv_text(shown, found))
        return
    output.show(
        document=lambda: render_all.document(shown, found),
        names=lambda: "".join(f"{experiment.name}\n" for experiment in found if experiment.rev is not None),
        lines=lambda: render_all.plain(found),
        table=lambda: render_all.page(shown, found),
    )
    if not found:
        output.words(f"{shown.baseline_rev[:7]} has no experiments yet: expctl submit")
