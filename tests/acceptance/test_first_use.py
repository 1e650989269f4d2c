"""The first command of a new user, on a machine with or without a runtime directory."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.daemons import BIN, DEADLINE_SECONDS


@pytest.fixture
def home() -> Iterator[Path]:
    """Give an empty home directory with a short path: a socket's path has 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="home-"))
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("has_runtime_directory", [True, False])
def test_the_first_command_starts_a_daemon(home: Path, *, has_runtime_directory: bool) -> None:
    """With nothing there but a home directory and the usual umask, a command starts a daemon; its places are private."""
    environ = {"HOME": str(home), "PATH": f"{BIN}:{os.defpath}"}
    if has_runtime_directory:
        (home / "runtime").mkdir(mode=0o700)
        environ["XDG_RUNTIME_DIR"] = str(home / "runtime")

    def expctl(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "expctl", *arguments],
            env=environ,
            cwd="/",
            umask=0o022,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    status = expctl("status")
    stopped = expctl("daemon", "stop")

    state = home / ".local" / "state" / "expd"
    runtime = home / "runtime" / "expd" if has_runtime_directory else state / "run"
    assert status.returncode == 0, status.stderr
    assert stopped.returncode == 0, stopped.stderr
    assert {path.stat().st_mode & 0o777 for path in (state, runtime, state / "runs")} == {0o700}
    assert (state / "queue.db").stat().st_mode & 0o777 == 0o600
