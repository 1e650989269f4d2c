"""`expctl daemon`: look at, stop, start or restart the daemon. Only `start` and `restart` start one."""

import os
import signal
from collections.abc import Sequence

from expctl import requests
from expctl.arguments import Arguments
from expctl.fields import Entry, Fields, entries_of
from expctl.output import Output
from expctl.render.lines import lines
from expctl.render.terminal import visible
from expctl.render.times import iso
from expctl.transport import Link, Message, address, connect_only, greeted
from expctl.trouble import NO_DAEMON, Trouble
from expproto.errors import USAGE


def run(arguments: Arguments, output: Output) -> int:
    """Do what was asked."""
    ending = "now" if arguments.now else "drain" if arguments.drain else "leave"
    if arguments.now and arguments.drain:
        raise Trouble(USAGE, {"what": "--now and --drain are two ways to stop: choose one"})
    if ending != "leave" and arguments.action != "stop":
        raise Trouble(USAGE, {"what": f"--{ending} belongs to `expctl daemon stop`"})
    match arguments.action:
        case "status":
            _status(output)
        case "start":
            _start(output)
        case "restart":
            _restart(output)
        case "reload":
            _reload(output)
        case _:
            _stop(output, ending)
    return 0


def _status(output: Output) -> None:
    link = connect_only()
    if link is None:
        raise Trouble(NO_DAEMON, {"socket": address()})
    with link:
        _show(_reply(link, requests.ask_daemon()), output)


def _start(output: Output) -> None:
    link = connect_only()
    is_new = link is None
    if link is None:
        from expctl.start import start_daemon  # noqa: PLC0415 - starting takes subprocess and more

        started = start_daemon()
        link, is_new = greeted(started.connection), started.by_us
    with link:
        output.words("started" if is_new else "it was running already")
        _show(_reply(link, requests.ask_daemon()), output, more={"started": is_new})


def _restart(output: Output) -> None:
    """End the daemon, of whatever version, and start ours; what runs goes on."""
    from expctl.restarting import end_daemon, restart_service  # noqa: PLC0415 - needs subprocess, and is rare

    if not restart_service():
        end_daemon()
    _start(output)


def _reload(output: Output) -> None:
    """Have the daemon read its settings again, unless they can't be used: then it is not even asked."""
    from expctl.settings import read_settings  # noqa: PLC0415 - starts a program, and is rare

    read_settings()
    link = connect_only()
    if link is None:
        raise Trouble(NO_DAEMON, {"socket": address()})
    with link:
        pid = Fields(_reply(link, requests.ask_daemon())).integer("pid")
    os.kill(pid, signal.SIGHUP)
    output.words("the daemon reads its settings; what runs goes on with those that it was begun with")
    if output.as_json:
        output.document({"reloaded": True, "pid": pid})


def _stop(output: Output, ending: str) -> None:
    """Stop, and return when the daemon has gone."""
    link = connect_only()
    if link is None:
        output.words("no daemon was running")
        _show_stopped(output, stopped=False, entries=[])
        return
    with link:
        pages = list(link.converse(requests.status("/", [])))[:-1]
        entries = [entry for entry in entries_of(pages) if entry.state not in {"held", "queued", "done"}]
        running = Fields(_reply(link, requests.stop(ending))).integer("running")
        try:
            if running:
                output.words(_stopping_words(running, entries, ending))
            link.wait_closed()
        except KeyboardInterrupt:
            output.words("expctl: no longer waiting; the daemon still ends")
            raise
    output.words("stopped")
    _show_stopped(output, stopped=True, entries=entries)


def _stopping_words(running: int, entries: Sequence[Entry], ending: str) -> str:
    """Say what the daemon leaves, ends or waits for; between the two questions one may have begun or ended."""
    names = ", ".join(f"{entry.id} {visible(entry.name)}" for entry in entries)
    manner = {"now": "cancelling", "drain": "waiting for"}.get(ending, "leaving")
    hint = "; the next daemon takes over what goes on (`expctl daemon stop --now` ends it)" if ending == "leave" else ""
    return f"{manner} {running} running{': ' + names if names else ''}{hint}"


def _reply(link: Link, request: Message) -> Message:
    return list(link.converse(request))[-1]


def _show_stopped(output: Output, *, stopped: bool, entries: Sequence[Entry]) -> None:
    running = [{"id": entry.id, "name": entry.name} for entry in entries]
    if output.as_json:
        output.document({"stopped": stopped, "running": running})


def _show(reply: Message, output: Output, more: dict[str, object] | None = None) -> None:
    daemon = Fields(reply)
    facts: dict[str, object] = {
        "pid": daemon.integer("pid"),
        "version": daemon.text("version"),
        "protocol": daemon.integer("protocol"),
        "socket": daemon.text("socket"),
        "state_directory": daemon.text("state_directory"),
        "started_at": iso(daemon.seconds("started_at")),
        "running": daemon.integer("running"),
        "queued": daemon.integer("queued"),
        "jobs": daemon.integer("jobs"),
        "paused": daemon.flag("paused"),
        "trouble": daemon.text_or_none("trouble"),
    }
    width = max(map(len, facts))
    output.show(
        document=lambda: {**facts, **(more or {})},
        names=lambda: f"{facts['pid']}\n",
        lines=lambda: lines([(name, str(value)) for name, value in facts.items()]),
        table=lambda: lines([(f"{name.replace('_', ' '):<{width}}  {value}",) for name, value in facts.items()]),
    )
