"""The light core: what a client pays for speaking at all."""

import subprocess
import sys

from expproto.address import runtime_directory, settings_path, socket_path, state_directory

LOADED_BY_MSGPACK = set(
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; before = set(sys.modules); import msgpack; print(*set(sys.modules) - before)",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout.split()
)

PROGRAM = """
import sys
before = set(sys.modules)
import {modules}
print(*sorted(set(sys.modules) - before))
"""


def loaded_by(*names: str) -> set[str]:
    """Give what a fresh interpreter loads beside its own when it imports these of expproto."""
    program = PROGRAM.format(modules=", ".join(f"expproto.{name}" for name in names))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    return set(done.stdout.split())


def test_light_core_imports_nothing() -> None:
    """What a short command needs to speak costs a client no import beside its own, msgpack neither."""
    names = ("address", "errors", "frames", "plain_codec")

    assert loaded_by(*names) == {"__future__", "expproto", *(f"expproto.{name}" for name in names)}


def test_the_codec_adds_only_msgpack() -> None:
    """For what is long there is the library, and what that needs."""
    assert loaded_by("codec") - loaded_by("plain_codec", "frames") - LOADED_BY_MSGPACK == {"expproto.codec"}


def test_addresses_follow_the_base_directories() -> None:
    """Runtime, state and settings stand where the XDG specification says."""
    environ = {"XDG_RUNTIME_DIR": "/run/u", "XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "/c", "HOME": "/h"}

    assert socket_path(environ) == "/run/u/expd/expd.sock"
    assert state_directory(environ) == "/s/expd"
    assert settings_path(environ) == "/c/expd/config.toml"


def test_addresses_fall_back_below_home_and_never_to_tmp() -> None:
    """Without a runtime directory the socket stands below the state; without a home nowhere that exists."""
    assert runtime_directory({"HOME": "/h"}) == "/h/.local/state/expd/run"
    assert settings_path({"HOME": "/h"}) == "/h/.config/expd/config.toml"
    assert socket_path({}) == "/nonexistent/.local/state/expd/run/expd.sock"


def test_addresses_can_be_named() -> None:
    """A second daemon beside the usual one has directories of its own."""
    environ = {"EXPD_RUNTIME_DIR": "/r", "EXPD_STATE_DIR": "/s", "EXPD_CONFIG": "/c.toml", "XDG_RUNTIME_DIR": "/run/u"}

    assert socket_path(environ) == "/r/expd.sock"
    assert state_directory(environ) == "/s"
    assert settings_path(environ) == "/c.toml"
