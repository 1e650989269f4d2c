"""`expctl status`: the queue."""

from __future__ import annotations

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.fields import Entry, Fields, entries_of
from expctl.output import Output
from expctl.render import entries as render
from expctl.render.lines import trouble_words
from expctl.transport import ask

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Sequence


SHOWN_MAX = 30
"""Entries that are shown unasked: about a screen; a page of them is short enough to be read without msgpack (transport.py)."""


def run(arguments: Arguments, output: Output) -> int:
    """Show the entries named, or all."""
    is_for_programs = output.as_json or output.quiet
    most = None if arguments.entries or arguments.all or is_for_programs else SHOWN_MAX
    pages, reply = ask(requests.status(os.getcwd(), arguments.entries, most))  # noqa: PTH109 - pathlib costs 10 ms
    entries = entries_of(pages)
    left_out = Fields(reply).integer("left_out")
    is_paused, trouble = Fields(reply).flag("paused"), Fields(reply).text_or_none("trouble")
    show_entries(entries, output, more={"paused": is_paused, "trouble": trouble})
    if left_out:
        output.words(f"{left_out} more entries: expctl status --all")
    if not entries:
        output.words("the queue is empty: expctl submit")
    if is_paused:
        output.words("the queue is paused, nothing more is started: expctl resume")
    if trouble:
        output.words(trouble_words(trouble))
    return 0


def show_entries(entries: Sequence[Entry], output: Output, more: dict[str, object] | None = None) -> None:
    """Show entries as they are now, for every command that answers with some."""
    output.show(
        document=lambda: {**render.entries_document(entries), **(more or {})},
        names=lambda: render.ids(entries),
        lines=lambda: render.status_lines(entries),
        table=lambda: _table(entries),
    )


def _table(entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    from expctl.render.table import table  # noqa: PLC0415 - rich costs 60 ms, and only a terminal shows a table

    return table(render.HEADING, render.status_rows(entries), numbers=frozenset({"id", "age", "duration"}))
