"""Scopes of systemd: control groups with limits, made by the user's manager around a worker for one run (org.freedesktop.systemd1(5)).

A service whose own group has limits below it could not be started anew while such a run goes on: systemd 252 puts the new
process into the group itself, and the kernel lets none into one that hands controllers on (cgroup-v2.rst, "No Internal
Process Constraint"). A scope is a unit of its own, beside the service; so that daemons which are no service have it too.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from expd.linux.cgroups import enter, kill_group
from expd.linux.dbus import Body, CallFailed, Value, call
from expd.linux.mounts import has_version_1, own_group, version_2_root

MEMORY, CPU = "memory", "cpu"
_START = (
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
    "StartTransientUnit",
)
_CALL_SECONDS = 5.0
"""For an answer, and then until we are in the scope: 10 ms is usual, a busy machine may take a hundred times as long."""
_LOOK_SECONDS = 0.002
_MICROSECONDS = 1_000_000


def hindrance(controller: str) -> str | None:
    """Say why the kernel can't be asked to limit a run, as a code; None if it can.

    `no_groups`: nothing of it is mounted. `version_1`: control groups are, but the controller is in those of version 1.
    `no_manager`: no systemd manages this user's services. `not_delegated`: it does, and was not given the controller.
    """
    root = version_2_root()
    if root is None or controller not in _controllers(root):
        return "version_1" if has_version_1() or root is not None else "no_groups"
    manager = _manager_group(root)
    if not manager.is_dir() or not _address().is_socket():
        return "no_manager"
    return None if controller in _controllers(manager) else "not_delegated"


def open_scope(name: str, *, memory_bytes: int | None = None, cpus: float | None = None) -> Path:
    """Have this process moved into a new scope with these limits, and wait until it is; gives the scope's directory.

    Raises OSError if systemd refuses, or the limit of memory does not hold. Blocks.
    """
    before = own_group()
    properties: list[tuple[str, str, Value]] = [
        ("Description", "s", "expd: a run of an experiment"),
        ("PIDs", "au", [os.getpid()]),
        ("Delegate", "b", True),
        ("CollectMode", "s", "inactive-or-failed"),
    ]
    if memory_bytes is not None:
        properties += [("MemoryMax", "t", memory_bytes), ("MemorySwapMax", "t", 0)]
    if cpus is not None:
        properties.append(("CPUQuotaPerSecUSec", "t", round(cpus * _MICROSECONDS)))
    body = Body()
    body.text(f"{name}.scope")
    body.text("fail")
    body.properties(properties)
    body.number(0)  # no further units
    body.align(8)
    call(_address(), _CALL_SECONDS, _START, "ssa(sv)a(sa(sv))", bytes(body.data))
    scope = _wait_moved(before, f"{name}.scope")
    if memory_bytes is not None and limit_of(scope) is None:
        raise CallFailed("the scope has no limit of memory")
    return scope


def go_back(home: Path | None, name: str) -> None:
    """Leave a scope: go back to a group, or to a scope without limits where we may not. What is empty is removed by systemd.

    Raises OSError. Blocks.
    """
    if home is None or not home.is_dir() or not enter(home):
        open_scope(name)


def limit_of(scope: Path) -> int | None:
    """Read how many bytes what is in a scope may use; None if there is no limit."""
    return _number(scope / "memory.max")


def peak_of(scope: Path) -> int | None:
    """Read how many bytes were used at most; None where the kernel does not count that (before Linux 5.19)."""
    return _number(scope / "memory.peak")


def oom_kills(scope: Path) -> int:
    """Count the processes of a scope that were ended for lack of memory."""
    return _events(scope).get("oom_kill", 0)


def kill_scope(token: str) -> None:
    """End whatever lives in the scope of the run with this token; blocks until it is gone."""
    root = version_2_root()
    if root is not None:
        for scope in _manager_group(root).glob(f"*/{scope_name('*', token)}.scope"):
            kill_group(scope)


def scope_name(run: object, token: str) -> str:
    """Give the name of the scope of a run; a part of its token tells it from one of the same number in another store."""
    return f"expd-run-{run}-{token[:8]}"


def _events(scope: Path) -> Mapping[str, int]:
    try:
        pairs = [line.split() for line in (scope / "memory.events").read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {name: int(value) for name, value in pairs}


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _wait_moved(before: Path | None, unit: str) -> Path:
    """Wait until we are in the scope: the answer says only that it will be made, and nobody tells a process that it was moved."""
    deadline = time.monotonic() + _CALL_SECONDS
    while time.monotonic() < deadline:
        group = own_group()
        if group is not None and group != before and group.name == unit:
            return group
        time.sleep(_LOOK_SECONDS)
    raise CallFailed(f"{unit} was promised, and is not there")


def _controllers(group: Path) -> frozenset[str]:
    try:
        return frozenset((group / "cgroup.controllers").read_text(encoding="ascii").split())
    except OSError:
        return frozenset()


def _manager_group(root: Path) -> Path:
    """Give the group of the manager of this user's services: the one above us, or that which systemd makes for it."""
    user = os.geteuid()
    own = own_group()
    above = () if own is None else own.parents
    ours = root / f"user.slice/user-{user}.slice/user@{user}.service"
    return next((group for group in above if group.name == ours.name), ours)


def _address() -> Path:
    """Give where the manager listens for its own programs, with a bus or without."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}", "systemd", "private")
