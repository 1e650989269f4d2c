"""Where the socket and the state are: one rule, computed from an environment, used by both sides. Looks at no disk.

Light core: strings only. `EXPD_RUNTIME_DIR` and `EXPD_STATE_DIR` name other places, for a second daemon beside
the usual one; else the XDG base directories decide, and never /tmp, where others may have put something first.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Mapping


SOCKET_NAME = "expd.sock"
SERVING_NAME = "expd.serving"
"""Beside the socket: boot id, pid and start time of the daemon that serves it."""

SOCKET_PATH_BYTES_MAX = 107
"""sun_path of unix(7) without its final NUL."""


def state_directory(environ: Mapping[str, str]) -> str:
    """Give the directory of the store, the run logs and the journal."""
    explicit = environ.get("EXPD_STATE_DIR")
    if explicit:
        return explicit
    return (environ.get("XDG_STATE_HOME") or f"{_home(environ)}/.local/state") + "/expd"


def runtime_directory(environ: Mapping[str, str]) -> str:
    """Give the directory of the socket and its lock; below the state where the system has no runtime directory."""
    explicit = environ.get("EXPD_RUNTIME_DIR")
    if explicit:
        return explicit
    runtime = environ.get("XDG_RUNTIME_DIR")
    return f"{runtime}/expd" if runtime else f"{state_directory(environ)}/run"


def socket_path(environ: Mapping[str, str]) -> str:
    """Give the socket's path."""
    return f"{runtime_directory(environ)}/{SOCKET_NAME}"


def settings_path(environ: Mapping[str, str]) -> str:
    """Give the path of config.toml."""
    explicit = environ.get("EXPD_CONFIG")
    if explicit:
        return explicit
    return (environ.get("XDG_CONFIG_HOME") or f"{_home(environ)}/.config") + "/expd/config.toml"


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or "/nonexistent"
