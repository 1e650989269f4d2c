"""How much room a file system has, in bytes and in files, and whether that is enough; read-only counts as none."""

import os
from dataclasses import dataclass
from pathlib import Path

_UNITS = ("bytes", "KiB", "MiB", "GiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What an ordinary user may still write; `files` is None where the file system does not count them (statvfs(3))."""

    bytes: int
    files: int | None
    is_read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory that is written to, and what has to be free there: `setting` names it for a person."""

    path: Path
    bytes_min: int
    files_min: int
    setting: str


def space_at(path: Path) -> Space:
    """Read the file system on which a path is, or would be made; raises OSError."""
    while True:
        try:
            found = os.statvfs(path)
        except FileNotFoundError:
            if path == path.parent:
                raise
            path = path.parent
        else:
            return Space(
                bytes=found.f_bavail * found.f_frsize,
                files=found.f_favail if found.f_files else None,
                is_read_only=bool(found.f_flag & os.ST_RDONLY),
            )


def shortage(place: Place, space: Space) -> str | None:
    """Say in words what is missing at a place; None if nothing is."""
    if space.is_read_only:
        return f"{place.path} is on a file system that is read-only"
    if space.bytes < place.bytes_min:
        free, least = in_units(space.bytes), in_units(place.bytes_min)
        return f"the disk of {place.path} has {free} free, and {least} is the least ({place.setting} in config.toml)"
    if space.files is not None and space.files < place.files_min:
        return f"the disk of {place.path} has room for {space.files} more files, and {place.files_min} is the least"
    return None


def first_shortage(places: tuple[Place, ...]) -> str | None:
    """Say what is missing at the first place that has too little; what can't be asked is told as well. Blocks."""
    for place in places:
        try:
            what = shortage(place, space_at(place.path))
        except OSError as error:
            what = f"{place.path} can't be reached: {error.strerror}"
        if what is not None:
            return what
    return None


def in_units(count: int) -> str:
    """Give a number of bytes as a person reads it: `1.5 MiB`."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.3g} {_UNITS[unit]}" if unit else f"{count} bytes"
