"""Where this installation is: the program that starts its daemon, and whether it will still be there tomorrow."""

import os
import sys
import sysconfig
import tempfile


def daemon_command() -> list[str]:
    """Give what starts the daemon of this installation: its script if there is one beside us, else our interpreter.

    pip, pipx and uv tool install a script `expd` beside `expctl`, which names the interpreter in its first line. `-P`
    keeps the current directory off the search path.
    """
    for directory in (os.path.join(sys.prefix, "bin"), _user_scripts()):  # noqa: PTH118 - strings are all that is needed
        script = f"{directory}/expd"
        if os.access(script, os.X_OK) and _names_us(script):
            return [script]
    return [sys.executable, "-P", "-m", "expd"]


def _names_us(script: str) -> bool:
    """Tell whether a script is run by our interpreter: one of another installation would be another version."""
    try:
        with open(script, "rb") as file:  # noqa: PTH123 - as above
            head = file.read(1024)
    except OSError:
        return False
    return os.fsencode(sys.executable) in head


def _user_scripts() -> str:
    return sysconfig.get_path("scripts", "posix_user")


def why_ephemeral() -> str | None:
    """Say why this installation will not stay, if it will not; None if it will, as far as its place tells."""
    place = os.path.realpath(sys.prefix) + "/"
    for directory in _temporary_directories():
        if place.startswith(directory + "/"):
            return f"{sys.prefix} is in a directory for temporary files"
    if place.startswith(os.path.realpath(_cache("UV_CACHE_DIR", "uv")) + "/"):
        return f"{sys.prefix} is in the cache of uv, where `uvx` makes an environment for one call"
    if "/pipx/.cache/" in place or place.startswith(os.path.realpath(_cache("", "pipx")) + "/"):
        return f"{sys.prefix} is in the cache of pipx, where `pipx run` makes an environment for one call"
    return None


def _temporary_directories() -> set[str]:
    return {os.path.realpath(path) for path in ("/tmp", "/var/tmp", "/dev/shm", tempfile.gettempdir())}  # noqa: S108 - looked at, not used


def _cache(variable: str, name: str) -> str:
    home = os.environ.get("XDG_CACHE_HOME") or f"{os.environ.get('HOME', '/nonexistent')}/.cache"
    return os.environ.get(variable) or f"{home}/{name}"
