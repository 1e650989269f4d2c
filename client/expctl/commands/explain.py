"""`expctl submit --explain`: what would be taken along, what would be left out, and why. Nothing is queued."""

import os
from collections.abc import Sequence

from expctl.arguments import Arguments
from expctl.output import Output
from expctl.render.lines import lines
from expctl.transport import ask
from expproto.errors import BAD_MESSAGE, RemoteProtocolError
from expproto.messages import message_from_map, message_to_map
from expproto.records import CaptureRecord
from expproto.replies import CapturePage, Explained
from expproto.requests import Explain

TAKEN = ("changed", "new", "deleted", "data", "submodule", "copied")
"""Fates of what goes along; the others are reasons to be left out."""
HEADING = ("fate", "path", "bytes")


def run(arguments: Arguments, output: Output) -> int:
    """Ask, and show every path with its fate."""
    request = Explain(
        cwd=os.getcwd(),  # noqa: PTH109 - as everywhere in the client
        command=None if arguments.command is None else tuple(arguments.command),
        include=tuple(arguments.include),
        copy_paths=tuple(arguments.copy_paths),
    )
    pages, reply = ask(message_to_map(request))
    files = [file for page in map(message_from_map, pages) if isinstance(page, CapturePage) for file in page.files]
    explained = message_from_map(reply)
    if not isinstance(explained, Explained) or len(files) != explained.count:
        raise RemoteProtocolError(BAD_MESSAGE, "the files and their count differ")
    output.show(
        document=lambda: {"files": [_document(file) for file in files]},
        names=lambda: lines([file.path] for file in files if file.fate in TAKEN),
        lines=lambda: lines(_cells(files)),
        table=lambda: _table(files),
    )
    return 0


def _document(file: CaptureRecord) -> dict[str, object]:
    return {"path": file.path, "fate": file.fate, "taken": file.fate in TAKEN, "size": file.size}


def _cells(files: Sequence[CaptureRecord]) -> list[tuple[str, str, str]]:
    return [(file.fate, file.path, "" if file.size is None else str(file.size)) for file in files]


def _table(files: Sequence[CaptureRecord]) -> str:
    from expctl.render.table import table  # noqa: PLC0415 - rich, for people only

    rows = [(fate if fate in TAKEN else f"left out: {fate}", path, size) for fate, path, size in _cells(files)]
    return table(HEADING, rows, numbers=frozenset({"bytes"}))
