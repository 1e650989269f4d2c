"""The light core: what a client pays for speaking at all."""

import subprocess
import sys

from expproto.address import runtime_directory, settings_path, socket_path, state_directory

PROGRAM = """
import sys, collections.abc, msgpack
before = set(sys.modules)
import expproto.frames, expproto.codec, expproto.errors, expproto.address
print(*sorted(set(sys.modules) - before))
"""


def test_light_core_imports_only_msgpack() -> None:
    """frames, codec, errors and address cost a client nothing but msgpack."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30)

    names = {"address", "codec", "errors", "frames"}
    assert set(done.stdout.split()) == {"expproto", *(f"expproto.{name}" for name in names)}


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
