"""The user's service manager, by its own programs: is it there, is our service in it, and what it says.

Imported only where a service matters: it needs subprocess.
"""

import os
import shutil
import subprocess

from expctl.trouble import SERVICE_FAILED, Trouble
from expctl.units import HEADER, SERVICE, SOCKET

SYSTEMCTL_SECONDS = 120.0
"""Starting waits for the daemon's recovery, which reads the store and every ref of what runs."""
JOURNAL_LINES = 10


def units_directory() -> str:
    """Give the directory of the user's own units (systemd.unit(5))."""
    configuration = os.environ.get("XDG_CONFIG_HOME") or f"{os.environ.get('HOME', '/nonexistent')}/.config"
    return f"{configuration}/systemd/user"


def is_there() -> bool:
    """Tell whether a service manager runs for this user (sd_booted(3)), and can be reached from this session."""
    return (
        os.path.isdir("/run/systemd/system")  # noqa: PTH112 - pathlib costs 10 ms and adds nothing here
        and bool(os.environ.get("XDG_RUNTIME_DIR"))
        and shutil.which("systemctl") is not None
    )


def read_unit(name: str) -> str | None:
    """Read one of the user's own units; None if it is not there."""
    try:
        with open(f"{units_directory()}/{name}", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError:
        return None


def is_ours(text: str | None) -> bool:
    """Tell whether a unit was written by `expctl service install`."""
    return text is not None and text.startswith(HEADER)


def serves_us() -> bool:
    """Tell whether our daemon is a service: installed, and at the usual place, which is where its socket is."""
    return not os.environ.get("EXPD_RUNTIME_DIR") and is_ours(read_unit(SOCKET)) and is_there()


def systemctl(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `systemctl --user`; raises Trouble if it takes too long."""
    try:
        return subprocess.run(
            ["systemctl", "--user", "--no-pager", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SYSTEMCTL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        what = f"systemctl --user {' '.join(arguments)}: no end after {SYSTEMCTL_SECONDS:.0f} s"
        raise Trouble(SERVICE_FAILED, {"what": what}) from None


def insist(*arguments: str) -> str:
    """Run `systemctl --user`, which must succeed; gives what it printed, raises Trouble with its words."""
    ended = systemctl(*arguments)
    if ended.returncode != 0:
        words = ended.stderr.partition("\n")[0] or f"it ended with {ended.returncode}"
        raise Trouble(SERVICE_FAILED, {"what": f"systemctl --user {' '.join(arguments)}: {words}", "tail": journal()})
    return ended.stdout


def journal() -> str:
    """Give what the daemon itself said last, each line once, as far as the journal tells."""
    ended = subprocess.run(
        [
            "journalctl",
            "--user",
            "--no-pager",
            "-q",
            "-o",
            "cat",
            "-n",
            str(JOURNAL_LINES),
            "-u",
            SERVICE,
            "-t",
            "expd",
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return "\n".join(dict.fromkeys(ended.stdout.splitlines()))


def facts(unit: str, *names: str) -> dict[str, str]:
    """Give properties of a unit by name; empty where the manager knows none."""
    shown = systemctl("show", unit, *(f"--property={name}" for name in names)).stdout
    return {name: value for name, _, value in (line.partition("=") for line in shown.splitlines())}


def lingers() -> bool:
    """Tell whether the user's manager goes on without a login: systemd-logind keeps a file for it (loginctl(1))."""
    import pwd  # noqa: PLC0415 - only asked here

    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return os.path.exists(f"/var/lib/systemd/linger/{name}")  # noqa: PTH110 - as above


def start_service() -> None:
    """Start what is installed: the socket, and the daemon behind it; raises Trouble with what the service said."""
    insist("start", SOCKET, SERVICE)
