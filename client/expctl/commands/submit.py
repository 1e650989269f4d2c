"""`expctl submit`: freeze the workspace, queue it, give the prompt back."""

import os
from collections.abc import Sequence

from expctl import requests
from expctl.fields import Fields, entries_of
from expctl.options import Arguments
from expctl.output import Output
from expctl.render import entries as render
from expctl.transport import ask
from expctl.trouble import Trouble
from expproto.errors import BAD_MESSAGE, USAGE, RemoteProtocolError


def run(arguments: Arguments, output: Output) -> int:
    """Submit, and show the entries that came of it."""
    if arguments.command == []:
        raise Trouble(USAGE, {"what": "there is no command after --"})
    if arguments.explain:
        from expctl.commands.explain import run as explain  # noqa: PLC0415 - the typed messages cost 35 ms

        return explain(arguments, output)
    request = requests.submit(
        cwd=os.getcwd(),  # noqa: PTH109 - pathlib costs 10 ms
        overrides=arguments.set_param,
        name=arguments.name,
        message=arguments.message,
        force=arguments.force,
        command=arguments.command,
        targets=arguments.targets,
        environment=requests.submitted_environment(os.environb, arguments.env, is_bare=arguments.no_env),
        umask=requests.current_umask(),
        points=arguments.points,
        sample=arguments.sample,
        seed=arguments.seed or 0,
        preview=arguments.preview,
        on_hold=arguments.hold,
        include=arguments.include,
        copy_paths=arguments.copy_paths,
        no_hydra=arguments.no_hydra,
        declared=_declared(arguments),
    )
    try:
        pages, reply = ask(request)
    except KeyboardInterrupt:
        output.words("expctl: interrupted before the answer; `expctl status` shows whether it was queued")
        raise
    if arguments.preview:
        from expctl.commands.preview import show_points  # noqa: PLC0415 - off the way of a submission

        show_points(pages, output)
        return 0
    entries, submitted = entries_of(pages), Fields(reply)
    if not entries or len(entries) != submitted.integer("count"):
        raise RemoteProtocolError(BAD_MESSAGE, "the entries and their count differ")
    left_out = submitted.records("left_out")
    if left_out:
        _tell_left_out(left_out, submitted.integer("left_out_count"), output)
    output.show(
        document=lambda: {
            "entries": [render.submitted_document(entry) for entry in entries],
            "left_out": [{"path": file.text("path"), "reason": file.text("reason")} for file in left_out],
            "left_out_count": submitted.integer("left_out_count"),
        },
        names=lambda: render.ids(entries),
        lines=lambda: render.submitted_lines(entries),
        table=lambda: render.submitted_rows(entries),
    )
    return 0


def _declared(arguments: Arguments) -> dict[str, Sequence[str]] | None:
    """Gather what makes the command a stage; None if nothing does. Raises Trouble where there is no command."""
    declared: dict[str, Sequence[str]] = {name: getattr(arguments, name) for name in requests.DECLARED}
    if not any(declared.values()):
        return None
    if arguments.command is None:
        raise Trouble(
            USAGE, {"what": "-d, -o, -M and their like describe a command: `expctl submit -o PATH -- COMMAND…`"}
        )
    return declared


_WHY = {"secret": "looks like a secret; --include takes it", "repository": "a repository of its own"}


def _tell_left_out(left_out: Sequence[Fields], count: int, output: Output) -> None:
    """Name what was not captured: whoever needs it should know before the run fails."""
    from expctl.render.terminal import visible  # noqa: PLC0415 - nearly always everything is captured

    for file in left_out:
        reason = file.text("reason")
        output.words(f"left out: {visible(file.text('path'))} ({_WHY.get(reason, visible(reason))})")
    if count > len(left_out):
        output.words(f"left out: {count - len(left_out)} more")
