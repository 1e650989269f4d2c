"""`expctl submit`: freeze the workspace, queue it, give the prompt back."""

from expctl.arguments import Arguments
from expctl.output import Output
from expctl.render import entries as render
from expctl.submitting import accepted, submission, submit


def run(arguments: Arguments, output: Output) -> int:
    """Submit, and show the entries that came of it."""
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
    left_out = submitted.records("left_out")
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
    return 0
