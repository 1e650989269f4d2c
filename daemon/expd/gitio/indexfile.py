"""An index file as bytes: a search through all of it tells what no entry can be, a thousand times as fast as asking each.

What is found may stand in a hash or a time as well: it is a reason to look at the entries, and its absence one not to.
Format: git's Documentation/gitformat-index. A name stands whole in versions 2 and 3; version 4 shortens names.
"""

from pathlib import Path

_GITLINK_MODE = b"\x00\x00\xe0\x00"
_WHOLE_NAMES_MAX = 3


def index_bytes(git_directory: Path) -> bytes:
    """Read the index file of a Git directory; empty where there is none."""
    try:
        return (git_directory / "index").read_bytes()
    except FileNotFoundError:
        return b""


def may_hold_gitlink(data: bytes) -> bool:
    """Tell whether an entry may be a submodule."""
    return _GITLINK_MODE in data


def may_hold_name(data: bytes, name: bytes) -> bool:
    """Tell whether the path of an entry may have this in it."""
    return int.from_bytes(data[4:8], "big") > _WHOLE_NAMES_MAX or name in data
