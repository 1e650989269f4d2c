"""`expctl group`: groups of entries with slots of their own."""

from expctl import requests
from expctl.arguments import Arguments
from expctl.commands.jobs import show_pool
from expctl.fields import Fields
from expctl.output import Output
from expctl.render.lines import lines
from expctl.transport import ask
from expctl.trouble import Trouble
from expproto.errors import USAGE

HEADING = ("group", "jobs", "running", "queued", "state")


def run(arguments: Arguments, output: Output) -> int:
    """Change a group, or show them all."""
    name = arguments.name
    if (arguments.action == "list") != (name is None):
        raise Trouble(USAGE, {"what": "expctl group list; expctl group add NAME [--jobs N]; expctl group remove NAME"})
    if name is None:
        _show_all(Fields(ask(requests.set_jobs(None))[1]), output)
    elif arguments.action == "add":
        assert not isinstance(arguments.jobs, str)
        show_pool(ask(requests.add_group(name, arguments.jobs or 1))[1], output, name)
    else:
        _show_all(Fields(ask(requests.remove_group(name))[1]), output)
    return 0


def _show_all(pool: Fields, output: Output) -> None:
    groups = [_cells(group) for group in pool.records("groups")]
    output.show(
        document=lambda: {"groups": [_document(group) for group in pool.records("groups")]},
        names=lambda: lines([row[0]] for row in groups),
        lines=lambda: lines(groups),
        table=lambda: _table(groups),
    )


def _document(group: Fields) -> dict[str, object]:
    numbers = {name: group.integer(name) for name in ("jobs", "running", "queued")}
    return {"name": group.text("name"), **numbers, "paused": group.flag("paused")}


def _cells(group: Fields) -> tuple[str, ...]:
    numbers = (str(group.integer(name)) for name in ("jobs", "running", "queued"))
    return (group.text("name"), *numbers, "paused" if group.flag("paused") else "active")


def _table(rows: list[tuple[str, ...]]) -> str:
    from expctl.render.table import table  # noqa: PLC0415 - rich, for people only

    return table(HEADING, rows, numbers=frozenset({"jobs", "running", "queued"}))
