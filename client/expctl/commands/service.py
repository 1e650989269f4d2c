"""`expctl service`: install, look at or remove the systemd user service. Changes only files that it wrote itself."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from expctl import systemd
from expctl.arguments import Arguments
from expctl.installation import daemon_command, why_ephemeral
from expctl.output import Output
from expctl.trouble import SERVICE_FAILED, SERVICE_REFUSED, Trouble
from expctl.units import SERVICE, SOCKET, unit_files
from expproto.address import state_directory
from expproto.errors import USAGE

LINES_DEFAULT = 100
PASSED_ON = ("EXPD_CONFIG", "EXPD_STATE_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
"""Variables by which client and daemon agree where things are: the user manager need not have those of this shell."""
LINGER = (
    "without lingering the service, and with it every experiment, ends at your last logout; "
    "to let it go on, and start at boot: loginctl enable-linger"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do: how it is told, and how it is done."""

    words: str
    do: Callable[[], object]


def run(arguments: Arguments, output: Output) -> int:
    """Do what was asked."""
    _check(arguments)
    match arguments.action:
        case "install" if arguments.print_units:
            output.data("\n".join(f"# {systemd.units_directory()}/{name}\n{text}" for name, text in _wanted().items()))
        case "install":
            _install(output, dry=arguments.dry_run)
        case "uninstall":
            _uninstall(output, dry=arguments.dry_run)
        case "logs":
            _show_log(arguments)
        case _:
            _show_status(output)
    return 0


def _check(arguments: Arguments) -> None:
    action = arguments.action
    for given, option, wants in (
        (arguments.print_units, "--print", {"install"}),
        (arguments.dry_run, "--dry-run", {"install", "uninstall"}),
        (arguments.follow, "--follow", {"logs"}),
        (arguments.lines is not None, "--lines", {"logs"}),
    ):
        if given and action not in wants:
            raise Trouble(USAGE, {"what": f"{option} belongs to `expctl service {' or '.join(sorted(wants))}`"})


def _wanted() -> dict[str, str]:
    """Give the units as they have to be for this installation and this shell."""
    return unit_files(daemon_command(), {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)})


# --- install


def _install(output: Output, *, dry: bool) -> None:
    _refuse_where_it_makes_no_sense()
    steps = _steps_to_install()
    _carry_out(steps, output, dry=dry)
    lingers = systemd.lingers()
    if not lingers:
        output.words(LINGER)
    if not dry:
        output.words(f"installed: the first `expctl` starts the daemon; `systemctl --user status {SERVICE}` shows it")
    if output.as_json:
        output.document({"steps": [step.words for step in steps], "done": not dry, "lingers": lingers})


def _refuse_where_it_makes_no_sense() -> None:
    reason = why_ephemeral()
    if reason is not None:
        hint = "install expd to stay: uv tool install expd, pipx install expd, or pip install --user expd"
        raise Trouble(
            SERVICE_REFUSED, {"why": f"a service would start a program that will not stay: {reason}", "hint": hint}
        )
    if os.environ.get("EXPD_RUNTIME_DIR"):
        hint = "unset it: the service listens below $XDG_RUNTIME_DIR"
        raise Trouble(SERVICE_REFUSED, {"why": "EXPD_RUNTIME_DIR names another place for the socket", "hint": hint})
    _refuse_without_systemd()
    for name in (SERVICE, SOCKET):
        text = systemd.read_unit(name)
        if text is not None and not systemd.is_ours(text):
            hint = f"remove {systemd.units_directory()}/{name} if it is no longer wanted, and repeat the command"
            raise Trouble(SERVICE_REFUSED, {"why": f"{name} is there and was not written by expctl", "hint": hint})


def _refuse_without_systemd() -> None:
    if not systemd.is_there():
        why = "no service manager of this user can be reached: systemd is not running, or XDG_RUNTIME_DIR is not set"
        raise Trouble(SERVICE_REFUSED, {"why": why, "hint": "expctl starts the daemon by itself where it is needed"})


def _steps_to_install() -> list[Step]:
    """Give what is to be done; nothing where everything is as it has to be."""
    steps = [
        Step(words=f"write {systemd.units_directory()}/{name}", do=partial(_write, name, text))
        for name, text in _wanted().items()
        if systemd.read_unit(name) != text
    ]
    was_ours = systemd.serves_us()
    if steps:
        steps.append(_systemctl("daemon-reload"))
    if not _is_enabled():
        steps.append(_systemctl("enable", SOCKET, SERVICE))
    if not was_ours and _is_answered():
        from expctl.restarting import end_daemon  # noqa: PLC0415 - only where a daemon runs beside the service

        steps.append(Step(words="end the daemon that runs; what it runs goes on under the service", do=end_daemon))
        steps += [_systemctl("start", SOCKET), _systemctl("start", SERVICE)]
    elif not _is_active(SOCKET):
        steps.append(_systemctl("start", SOCKET))
    elif len(steps) > 1 and _is_active(SERVICE):
        steps.append(_systemctl("restart", SERVICE))
    return steps


def _systemctl(*arguments: str) -> Step:
    return Step(words=f"systemctl --user {' '.join(arguments)}", do=lambda: systemd.insist(*arguments))


def _is_answered() -> bool:
    """Tell whether a daemon listens, of whatever version."""
    from expctl.transport import dial  # noqa: PLC0415 - as above

    connection = dial()
    if connection is not None:
        connection.close()
    return connection is not None


def _is_active(unit: str) -> bool:
    return systemd.systemctl("is-active", "--quiet", unit).returncode == 0


def _is_enabled() -> bool:
    return systemd.systemctl("is-enabled", "--quiet", SOCKET, SERVICE).returncode == 0


def _write(name: str, text: str) -> None:
    directory = systemd.units_directory()
    os.makedirs(directory, exist_ok=True)  # noqa: PTH103 - pathlib costs 10 ms and adds nothing here
    temporary = f"{directory}/.{name}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8", opener=_world_readable) as file:
        file.write(text)
    os.replace(temporary, f"{directory}/{name}")  # noqa: PTH105 - as above


def _world_readable(path: str, flags: int) -> int:
    return os.open(path, flags, 0o644)


# --- uninstall


def _uninstall(output: Output, *, dry: bool) -> None:
    found = {name: systemd.read_unit(name) for name in (SERVICE, SOCKET)}
    ours = [name for name, text in found.items() if systemd.is_ours(text)]
    steps = []
    if ours and systemd.is_there():
        steps.append(_systemctl("disable", "--now", *ours))
    steps += [Step(words=f"remove {systemd.units_directory()}/{name}", do=partial(_remove, name)) for name in ours]
    if steps and systemd.is_there():
        steps.append(_systemctl("daemon-reload"))
    _carry_out(steps, output, dry=dry)
    for name, text in found.items():
        if text is not None and name not in ours:
            output.words(f"left alone, since expctl did not write it: {systemd.units_directory()}/{name}")
    if not dry and ours:
        output.words("what runs goes on; from now on expctl starts the daemon by itself, and that one takes it over")
    if output.as_json:
        output.document({"steps": [step.words for step in steps], "done": not dry, "lingers": systemd.lingers()})


def _remove(name: str) -> None:
    os.unlink(f"{systemd.units_directory()}/{name}")  # noqa: PTH108 - as above


def _carry_out(steps: list[Step], output: Output, *, dry: bool) -> None:
    for step in steps:
        output.words(f"would: {step.words}" if dry else step.words)
        if not dry:
            step.do()
    if not steps:
        output.words("nothing to do")


# --- status, logs


def _show_status(output: Output) -> None:
    found = {name: systemd.read_unit(name) for name in (SERVICE, SOCKET)}
    is_installed = all(systemd.is_ours(text) for text in found.values())
    state = systemd.facts(SERVICE, "ActiveState", "MainPID", "StatusText", "NRestarts") if systemd.is_there() else {}
    shown: dict[str, object] = {
        "installed": is_installed,
        "current": found == dict(_wanted()),
        "enabled": systemd.is_there() and _is_enabled(),
        "socket": "active" if systemd.is_there() and _is_active(SOCKET) else "inactive",
        "service": state.get("ActiveState", "inactive"),
        "pid": int(state.get("MainPID") or 0) or None,
        "status": state.get("StatusText") or None,
        "restarts": int(state.get("NRestarts") or 0),
        "lingers": systemd.lingers(),
    }
    rows = "".join(f"{name}\t{'' if value is None else str(value).lower()}\n" for name, value in shown.items())
    output.show(
        document=lambda: shown,
        names=lambda: f"{shown['service']}\n",
        lines=lambda: rows,
        table=lambda: rows.expandtabs(12),
    )
    _advise(output, shown)


def _advise(output: Output, shown: dict[str, object]) -> None:
    """Say what to do next, where there is something to do."""
    if not systemd.is_there():
        output.words("no service manager of this user can be reached; expctl starts the daemon by itself")
    elif not shown["installed"]:
        output.words("not installed: expctl starts the daemon by itself (`expctl service install` makes it a service)")
    elif not shown["current"]:
        output.words("the units are of another version or place: `expctl service install` brings them up to date")
    elif shown["service"] == "failed":
        output.words(
            f"it failed: `expctl service logs` says why; then: systemctl --user reset-failed {SERVICE} {SOCKET}"
        )
    if shown["installed"] and not shown["lingers"]:
        output.words(LINGER)


def _show_log(arguments: Arguments) -> None:
    """Become the program that shows the daemon's journal: that of the service, or the file of one started by expctl."""
    lines = str(LINES_DEFAULT if arguments.lines is None else arguments.lines)
    following = ["-f"] if arguments.follow else []
    if systemd.serves_us():
        argv = ["journalctl", "--user", "-u", SERVICE, "-n", lines, *following]
    else:
        argv = ["tail", "-n", lines, *following, f"{state_directory(os.environ)}/expd.log"]
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - this very process is to be the pager's
    except OSError as error:
        raise Trouble(SERVICE_FAILED, {"what": f"{argv[0]}: {error.strerror}"}) from error
