"""`expctl submit`: freeze the workspace, queue it, give the prompt back; or stay until it has ended."""

from __future__ import annotations

from expctl.arguments import Arguments
from expctl.output import Output
from expctl.render import entries as render
from expctl.submitting import accepted, submission, submit
from expctl.trouble import Trouble
from expproto.errors import USAGE

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Sequence

    from expctl.fields import Entry, Fields


def run(arguments: Arguments, output: Output) -> int:
    """Submit, and show the entries that came of it; with --wait or --follow, give the exit code of how they ended."""
    stays = arguments.wait or arguments.follow
    if stays and (arguments.hold or arguments.preview or arguments.explain):
        raise Trouble(
            USAGE, {"what": "--wait and --follow are for what runs; --hold, --preview and --explain run nothing"}
        )
    request = submission(arguments, "queue")
    if arguments.explain:
        from expctl.commands.explain import run as explain  # noqa: PLC0415 - the typed messages cost 35 ms

        return explain(arguments, output)
    pages, submitted = submit(request, output)
    if arguments.preview:
        from expctl.commands.preview import show_points  # noqa: PLC0415 - off the way of a submission

        show_points(pages, output)
        return 0
    entries = accepted(pages, submitted, output)
    if not (stays and output.as_json):  # one document, and the end says more
        _show(entries, submitted, output)
    if arguments.follow:
        from expctl.commands.run import watch  # noqa: PLC0415 - off the way of a submission

        return watch(entries, output, is_raw=False)
    if arguments.wait:
        from expctl.commands.wait import wait_for  # noqa: PLC0415 - off the way of a submission

        return wait_for([str(entry.id) for entry in entries], output)
    return 0


def _show(entries: list[Entry], submitted: Fields, output: Output) -> None:
    left_out: Sequence[Fields] = submitted.records("left_out")
    output.show(
        document=lambda: {
            "entries": [render.submitted_document(entry) for entry in entries],
            "left_out": [{"path": file.text("path"), "reason": file.text("reason")} for file in left_out],
            "left_out_count": submitted.integer("left_out_count"),
            "unkept": [
                {"limit": limit.text("limit"), "why": limit.text("why")} for limit in submitted.records("unkept")
            ],
        },
        names=lambda: render.ids(entries),
        lines=lambda: render.submitted_lines(entries),
        table=lambda: render.submitted_rows(entries),
    )
