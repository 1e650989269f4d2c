"""Where the control groups of this process are in the file system: read from /proc, which says it for any layout."""

import os
from collections.abc import Iterator
from pathlib import Path


def own_groups() -> Iterator[tuple[str, Path]]:
    """Give type (`cgroup2`, or `cgroup` for the memory controller of version 1) and directory of each group we are in.

    The root group is left out: what it counts is the machine's, and nobody is given it. Nothing where /proc can't be read.
    """
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    group_of = {controllers: path for _id, controllers, path in (line.split(":", 2) for line in groups)}
    for system, root, point, options in _mounts():
        path = _group_in(system, options, group_of)
        if path is not None and path != "/" and _is_below(path, root):
            yield system, Path(point, os.path.relpath(path, root))


def own_group() -> Path | None:
    """Give the directory of our control group of version 2; None if we are in the root, or there is none."""
    return next((path for system, path in own_groups() if system == "cgroup2"), None)


def version_2_root() -> Path | None:
    """Give where control groups of version 2 are mounted; None if they are not."""
    return next((Path(point) for system, _root, point, _options in _mounts() if system == "cgroup2"), None)


def has_version_1() -> bool:
    """Tell whether control groups of version 1 are mounted."""
    return any(system == "cgroup" for system, _root, _point, _options in _mounts())


def _mounts() -> list[tuple[str, str, str, set[str]]]:
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [_mount(line) for line in lines]


def _mount(line: str) -> tuple[str, str, str, set[str]]:
    """Give type, root, mount point and super options of a line of mountinfo (proc(5))."""
    before, _, after = line.partition(" - ")
    fields, rest = before.split(), after.split()
    return rest[0], fields[3], fields[4], set(rest[-1].split(","))


def _group_in(system: str, options: set[str], group_of: dict[str, str]) -> str | None:
    if system == "cgroup2":
        return group_of.get("")
    if system == "cgroup" and "memory" in options:
        return next((path for names, path in group_of.items() if "memory" in names.split(",")), None)
    return None


def _is_below(path: str, root: str) -> bool:
    return root in {"/", path} or path.startswith(root + "/")
