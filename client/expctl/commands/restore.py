"""`expctl restore`: the workspace as it was captured."""

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.fields import Fields
from expctl.output import Output
from expctl.render.lines import lines
from expctl.render.terminal import visible
from expctl.transport import ask

SHORT_REV = 7
"""Digits of a rev for a person, as Git has it."""


def run(arguments: Arguments, output: Output) -> int:
    """Restore, and tell what was written, removed and left alone."""
    umask = requests.current_umask()
    cwd = os.getcwd()  # noqa: PTH109 - pathlib costs 10 ms
    done = Fields(ask(requests.restore(cwd, arguments.entry, force=arguments.force, umask=umask))[1])
    fates = {fate: done.texts_or_none(fate) or [] for fate in ("written", "removed", "left")}
    rows = [(fate, path) for fate, paths in fates.items() for path in paths]
    output.show(
        document=lambda: {name: value for name, value in done.plain.items() if name != "kind"},
        names=lambda: "",
        lines=lambda: lines(rows),
        table=lambda: "".join(f"{fate:<8} {visible(path)}\n" for fate, path in rows),
    )
    _tell(done, output)
    return 0


def _tell(done: Fields, output: Output) -> None:
    workspace, origin = done.text("workspace"), done.text("origin")
    counts = {fate: done.integer(f"{fate}_count") for fate in ("written", "removed", "left")}
    output.words(
        f"{visible(workspace)} is as it was captured for {visible(done.text('name'))}: {counts['written']} written, "
        f"{counts['removed']} removed"
    )
    if workspace != origin:
        output.words(f"this is not the work tree it was captured in: that is {visible(origin)}")
    if counts["left"]:
        output.words(f"new since, and left alone: {counts['left']}")
    if done.text("head_rev") != done.text("baseline_rev"):
        head, baseline = done.text("head_rev")[:SHORT_REV], done.text("baseline_rev")[:SHORT_REV]
        output.words(f"HEAD is at {head} and was at {baseline}: it was not moved, so `git status` compares with {head}")
    kept = done.text_or_none("kept_rev")
    if kept is not None:
        output.words(f"what was there before is kept: expctl restore {kept[:12]}")
