"""Control groups for runs, where systemd delegated a part of the tree to our service (cgroup-v2.rst, systemd.resource-control(5)).

    <service>/daemon    the daemon itself: a group that has groups below it may hold no process
    <service>/workers   workers between two runs
    <service>/run-N     run N: its worker, and everything that its commands started

A worker goes into the group of its run before the first command starts, so that nothing is ever born outside it, and out
of it before what is left there is killed. Whoever forks or leaves its session stays in the group: `cgroup.kill` ends all
of it at once. Where nothing was delegated there are no groups, and the process tree is all there is to go by.
"""

import contextlib
import errno
import logging
import os
import select
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from expd.linux.mounts import own_group

_journal = logging.getLogger("expd.linux")

GROUP_VARIABLE = "EXPD_CONTROL_GROUP"
"""In the environment of a worker: the directory that was delegated."""
DAEMON_GROUP, WORKERS_GROUP = "daemon", "workers"
DELEGATED_VARIABLE = "EXPD_DELEGATED"
"""Set by our unit, which says Delegate=yes: the user managers of older systemds (252) leave no mark on the group."""
_DELEGATED_MARK = "user.delegate"
"""The attribute by which newer ones mark a group that its service may divide."""
_KILL = "cgroup.kill"
"""Since Linux 5.14."""
_FREEZE = "cgroup.freeze"
"""Since Linux 5.2."""
_EMPTY = "populated 0"
_CHANGE_SECONDS = 1.0
"""For the kernel to end or stop what it was told to: it is done in milliseconds unless a process waits for a disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """What was delegated: the service's own directory, and the controllers that can limit what is below it."""

    directory: Path
    controllers: frozenset[str]


def find_delegation(environ: Mapping[str, str]) -> Delegation | None:
    """Find the group of this process, if systemd delegated it to us and the kernel can kill a group; None elsewhere."""
    directory = own_group()
    if directory is None or not (environ.get(DELEGATED_VARIABLE) == "yes" or _is_marked(directory)):
        return None
    if not os.access(directory / "cgroup.procs", os.W_OK):
        return None
    try:
        controllers = frozenset((directory / "cgroup.controllers").read_text(encoding="ascii").split())
    except OSError:
        return None
    return Delegation(directory=directory, controllers=controllers) if (directory / _KILL).exists() else None


def _is_marked(directory: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.getxattr(directory, _DELEGATED_MARK) == b"1"
    return False


def take(delegation: Delegation) -> None:
    """Make the delegated group ready for groups of runs: move this process below it, remove what earlier runs left."""
    enter(delegation.directory / DAEMON_GROUP)
    (delegation.directory / WORKERS_GROUP).mkdir(exist_ok=True)
    for group in delegation.directory.glob("run-*"):
        remove_group(group)


def divided() -> Path | None:
    """Give the delegated directory that this daemon has divided; None where nothing was delegated."""
    own = own_group()
    return (
        own.parent if own is not None and own.name == DAEMON_GROUP and (own.parent / WORKERS_GROUP).is_dir() else None
    )


def enter(group: Path) -> bool:
    """Put this process, with all its threads, into a group, which is made if it is not there; False if that is refused."""
    try:
        group.mkdir(exist_ok=True)
        (group / "cgroup.procs").write_text("0", encoding="ascii")
    except OSError as error:
        _journal.warning("the control group %s can't be entered: %s", group, error)
        return False
    return True


def run_group(delegated: Path, run: int, token: str) -> Path:
    """Give the group of a run; a part of its token tells it from one of the same number in another store."""
    return delegated / f"run-{run}-{token[:8]}"


def kill_run_group(delegated: Path, token: str) -> None:
    """End whatever lives in the group of a run; blocks until it is gone."""
    for group in delegated.glob(f"run-*-{token[:8]}"):
        kill_group(group)


def leave(group: Path) -> None:
    """Move this process from the group of a run back to that of waiting workers, end what is left, and remove it."""
    if enter(group.parent / WORKERS_GROUP):
        kill_group(group)


def freeze_group(group: Path) -> bool:
    """Move this process from the group of a run back to that of waiting workers, and stop all that is left; False if that fails.

    Blocks until all of it stands still.
    """
    if not enter(group.parent / WORKERS_GROUP):
        return False
    try:
        (group / _FREEZE).write_text("1", encoding="ascii")
        _wait_for(group, "frozen 1")
    except OSError as error:
        _journal.warning("the control group %s can't be frozen: %s", group, error)
        thaw_group(group)
        return False
    return True


def thaw_group(group: Path) -> None:
    """Let what is in the group of a run go on, and move this process back into it."""
    try:
        (group / _FREEZE).write_text("0", encoding="ascii")
    except OSError as error:
        _journal.warning("the control group %s can't be thawed: %s", group, error)
    enter(group)


def kill_group(group: Path) -> None:
    """End whatever lives in a group and below it, at once, and remove it; one that is not there is done. Blocks."""
    try:
        if not _is_empty(group):
            (group / _KILL).write_text("1", encoding="ascii")
            _wait_for(group, _EMPTY)
    except FileNotFoundError:
        return
    except OSError as error:
        _journal.warning("the control group %s can't be ended: %s", group, error)
    remove_group(group)


def _is_empty(group: Path) -> bool:
    return _says(group, _EMPTY)


def _says(group: Path, state: str) -> bool:
    return state in (group / "cgroup.events").read_text(encoding="ascii").splitlines()


def _wait_for(group: Path, state: str) -> None:
    """Wait until a group is in a state, or for a second: the kernel tells by a priority event on its file (cgroup-v2.rst)."""
    with (group / "cgroup.events").open("rb") as events:
        waiting = select.poll()
        waiting.register(events, select.POLLPRI)
        while not _says(group, state):
            if not waiting.poll(_CHANGE_SECONDS * 1000):
                return
            events.seek(0)
            events.read()


def remove_group(group: Path) -> None:
    """Remove a group with the groups below it; one in which something still lives stays."""
    try:
        for below in group.iterdir():
            if below.is_dir():
                remove_group(below)
        group.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EBUSY:
            _journal.warning("the control group %s can't be removed: %s", group, error)
