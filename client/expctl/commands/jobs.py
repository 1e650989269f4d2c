"""`expctl jobs`: how many experiments run at once."""

from expctl import requests
from expctl.arguments import Arguments
from expctl.fields import Fields
from expctl.output import Output
from expctl.render.lines import lines, trouble_words
from expctl.transport import Message, ask


def run(arguments: Arguments, output: Output) -> int:
    """Set the number if one is given, and show the pool."""
    asked = arguments.jobs
    jobs, change = (None, int(asked)) if isinstance(asked, str) else (asked, None)
    show_pool(ask(requests.set_jobs(jobs, change, arguments.group))[1], output, arguments.group)
    return 0


def show_pool(reply: Message, output: Output, group: str | None = None) -> None:
    """Show the pool as it is now, or one group of it, for every command that changes it."""
    pool = Fields(reply)
    shown = pool if group is None else next(each for each in pool.records("groups") if each.text("name") == group)
    jobs, running, queued = (shown.integer(name) for name in ("jobs", "running", "queued"))
    frozen = pool.integer("frozen")
    is_paused = pool.flag("paused") or shown.flag("paused")
    state, trouble = "paused" if is_paused else "active", pool.text_or_none("trouble")
    output.show(
        document=lambda: {
            "jobs": jobs, "running": running, "queued": queued, "paused": is_paused, "trouble": trouble, "group": group, "frozen": frozen,
        },
        names=lambda: f"{jobs}\n",
        lines=lambda: lines([(str(jobs), str(running), str(queued), state)]),
        table=lambda: f"{jobs} at once, {running} running, {queued} queued, {state}{f', {frozen} frozen' if frozen else ''}\n",
    )  # fmt: skip
    if trouble:
        output.words(trouble_words(trouble))
