"""What an examination tells of how the daemon was started, and whether it may outlive a logout."""

import os
import pwd
from collections.abc import Iterable
from pathlib import Path

from expd.linux.cgroups import divided
from expd.linux.scopes import CPU, MEMORY, hindrance
from expproto.records import FindingRecord

_LINGER = Path("/var/lib/systemd/linger")
_BOOTED = Path("/run/systemd/system")
"""sd_booted(3): it is there if systemd started this machine."""


def examine_service() -> Iterable[FindingRecord]:
    """Tell whether systemd runs the daemon, how the processes of a run are told from others and held to its limits, and, where it manages logins, whether it ends with the last of them."""
    is_unit = "INVOCATION_ID" in os.environ
    yield _told("started_by", "systemd" if is_unit else "hand", {"unit": is_unit})
    group = divided()
    yield _told("process_tree" if group is None else "control_groups", str(group or "runs"), {})
    for option, controller in (("--mem", MEMORY), ("--cpus", CPU)):
        code = hindrance(controller)
        yield _told("limit_kept" if code is None else "limit_not_kept", option, {} if code is None else {"why": code})
    if _BOOTED.is_dir():
        user = pwd.getpwuid(os.geteuid()).pw_name
        lingers = (_LINGER / user).exists()
        yield _told("linger" if lingers else "no_linger", user, {})


def _told(code: str, subject: str, data: dict[str, object]) -> FindingRecord:
    return FindingRecord(code=code, section="service", subject=subject, is_problem=False, data=data)
