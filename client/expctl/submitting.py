"""What `submit` and `run` have in common: their arguments as one request, and what the answer says."""

from __future__ import annotations

import os

from expctl import requests
from expctl.arguments import Arguments
from expctl.fields import Entry, Fields, entries_of
from expctl.limits import run_limits
from expctl.output import Output
from expctl.place import ANYWHERE, queue_place
from expctl.retries import retry_policy
from expctl.stage_options import stage_options
from expctl.transport import ask
from expctl.trouble import Trouble
from expproto.errors import BAD_MESSAGE, USAGE, RemoteProtocolError

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from expctl.transport import Message


def submission(arguments: Arguments, mode: str) -> Message:
    """Give the request for one submission; `run` has no sweeps, and so no options of sweeps."""
    if arguments.command == []:
        raise Trouble(USAGE, {"what": "there is no command after --"})
    is_queued = mode == "queue"
    return requests.submit(
        cwd=os.getcwd(),  # noqa: PTH109 - pathlib costs 10 ms
        overrides=arguments.set_param,
        name=arguments.name,
        message=arguments.message,
        force=arguments.force,
        command=arguments.command,
        targets=arguments.targets,
        environment=requests.submitted_environment(os.environb, arguments.env, is_bare=arguments.no_env),
        umask=requests.current_umask(),
        points=arguments.points if is_queued else None,
        sample=arguments.sample if is_queued else None,
        seed=(arguments.seed or 0) if is_queued else 0,
        preview=arguments.preview if is_queued else False,
        on_hold=arguments.hold if is_queued else False,
        include=arguments.include,
        copy_paths=arguments.copy_paths,
        no_hydra=arguments.no_hydra,
        declared=_declared(arguments),
        mode=mode,
        stages=stage_options(arguments),
        limits=run_limits(arguments),
        retries=retry_policy(arguments),
        place=queue_place(arguments) if is_queued else ANYWHERE,
        max_failures=arguments.max_failures if is_queued else None,
        source=arguments.source if is_queued else None,
        destination=_destination(arguments) if is_queued else requests.HERE,
    )


def _destination(arguments: Arguments) -> Mapping[str, object]:
    """Say who is to run it, and what goes along if that is another host; raises Trouble for --data that is neither."""
    if arguments.data not in {None, "push", "none"}:
        raise Trouble(USAGE, {"what": f"--data {arguments.data}: push and none are what it can be"})
    return {
        "engine": arguments.on or "local",
        "travelling": [text.partition("=")[0] for text in arguments.env] if arguments.on else [],
        "push_data": None if arguments.data is None else arguments.data == "push",
    }


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


def submit(request: Message, output: Output) -> tuple[Sequence[Message], Fields]:
    """Ask for a submission; gives the pages and the answer."""
    try:
        pages, reply = ask(request)
    except KeyboardInterrupt:
        output.words("expctl: interrupted before the answer; `expctl status` shows whether it was queued")
        raise
    return pages, Fields(reply)


def accepted(pages: Sequence[Message], submitted: Fields, output: Output) -> list[Entry]:
    """Give the entries that came of it, and name what was not captured."""
    entries = entries_of(pages)
    if not entries or len(entries) != submitted.integer("count"):
        raise RemoteProtocolError(BAD_MESSAGE, "the entries and their count differ")
    left_out = submitted.records("left_out")
    if left_out:
        _tell_left_out(left_out, submitted.integer("left_out_count"), output)
    if unkept := submitted.records("unkept"):
        _tell_unkept(unkept, output)
    return entries


_WHY = {
    "secret": "looks like a secret; --include takes it",
    "repository": "a repository of its own",
    "pointer": "a Git LFS pointer, here too; `git lfs pull` brings the file",
}


def _tell_unkept(unkept: Sequence[Fields], output: Output) -> None:
    """Say which limits the kernel does not keep here, and what becomes of them."""
    from expproto.limits import HINDRANCES  # noqa: PLC0415 - dataclasses cost 10 ms

    for limit in unkept:
        name, code = limit.text("limit"), limit.text("why")
        what = "looked at once a second" if name == "mem" else "not kept"
        output.words(f"expctl: --{name} is {what}: {HINDRANCES.get(code, code)}")


def _tell_left_out(left_out: Sequence[Fields], count: int, output: Output) -> None:
    """Name what was not captured: whoever needs it should know before the run fails."""
    from expctl.render.terminal import visible  # noqa: PLC0415 - nearly always everything is captured

    for file in left_out:
        reason = file.text("reason")
        output.words(f"left out: {visible(file.text('path'))} ({_WHY.get(reason, visible(reason))})")
    if count > len(left_out):
        output.words(f"left out: {count - len(left_out)} more")
