"""A real daemon for a test, in surroundings of its own, and the installed client to talk to it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.repositories import GIT_ENVIRONMENT

BIN = Path(sys.executable).parent
DEADLINE_SECONDS = 60
"""For anything a test waits for: far more than it takes, so that reaching it is a failure."""

Json = dict[str, object]


class Surroundings:
    """Directories and environment of one daemon; several daemons may live in them one after the other."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="expd-"))  # short: a socket's path has 107 bytes
        self.state = self.directory / "state"
        self.before: tuple[str, ...] = ()
        self.socket = self.directory / "run" / "expd.sock"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("EXPD_", "EXPCTL_", "DVC_"))},
            **GIT_ENVIRONMENT,
            "EXPD_RUNTIME_DIR": str(self.directory / "run"),
            "EXPD_STATE_DIR": str(self.state),
            "EXPD_CONFIG": str(self.directory / "config.toml"),
            "EXPD_AUTOSTART": "0",
            "NO_COLOR": "1",
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }

    def start(self, *program: str | Path) -> subprocess.Popen[bytes]:
        """Start a daemon, or another program that becomes one, by what stands `before` its name, and wait until it listens."""
        reading, writing = os.pipe()
        with (self.directory / "journal").open("ab") as journal:
            process = subprocess.Popen(
                [*(program or (*self.before, BIN / "expd")), "--ready-fd", str(writing)],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
                pass_fds=[writing],
            )
        os.close(writing)
        with os.fdopen(reading, "rb") as ready:
            assert ready.readline() == b"READY\n", self.journal()
        return process

    def journal(self) -> str:
        """Read what the daemons and their workers have logged."""
        workers = self.state / "workers.log"
        text = (self.directory / "journal").read_text()
        return text + (workers.read_text() if workers.exists() else "")

    def start_expctl(self, cwd: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the client, which the test ends or waits for."""
        return subprocess.Popen(
            [BIN / "expctl", *arguments],
            cwd=cwd,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run_expctl(
        self, cwd: Path, *arguments: str, stdin: int = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the client to its end, whatever that is."""
        return subprocess.run(
            [BIN / "expctl", *arguments],
            cwd=cwd,
            env=self.environ,
            stdin=stdin,
            capture_output=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    def expctl(self, cwd: Path, *arguments: str) -> str:
        """Run the client, which must succeed, and give what it printed."""
        result = self.run_expctl(cwd, *arguments)
        assert result.returncode == 0, f"expctl {arguments}: {result.stderr.decode()}\n{self.journal()}"
        return result.stdout.decode()

    def expctl_json(self, cwd: Path, *arguments: str) -> Json:
        """Run the client with --json, and give its document."""
        document: Json = json.loads(self.expctl(cwd, *arguments, "--json"))
        return document

    def entries(self, cwd: Path, *selectors: str) -> list[Json]:
        """Give the entries that `expctl status` lists."""
        return rows(self.expctl_json(cwd, "status", *selectors), "entries")

    def remove(self) -> None:
        """Remove the directories."""
        shutil.rmtree(self.directory, ignore_errors=True)


class RunningDaemon(Surroundings):
    """Surroundings with a daemon in them."""

    def __init__(self, config: str, state: Path | None = None, before: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.before = before
        if state is not None:
            self.state = state
            self.environ["EXPD_STATE_DIR"] = str(state)
        (self.directory / "config.toml").write_text(config)
        self.process = self.start()

    def kill(self) -> None:
        """End the daemon as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE_SECONDS)

    def restart(self) -> None:
        """Start the next daemon in the same surroundings."""
        self.process = self.start()

    def stop(self) -> None:
        """Stop the daemon, cancelling what runs; also one that a client has started after the first was killed."""
        self.run_expctl(self.directory, "daemon", "stop", "--now")
        self.process.wait(DEADLINE_SECONDS)


@contextmanager
def a_daemon(
    jobs: int = 1,
    config: str = "grace_seconds = 1.0\n",
    state: Path | None = None,
    before: tuple[str, ...] = (),
) -> Iterator[RunningDaemon]:
    """Run a daemon for as long as the block, its state where it is told; its journal is shown if a test fails.

    `before` is a program that starts another one, with its arguments: prlimit, strace.
    """
    daemon = RunningDaemon(f"jobs = {jobs}\n{config}", state, before)
    try:
        yield daemon
    finally:
        daemon.stop()
        print(daemon.journal())  # noqa: T201 - pytest shows it with a failure
        daemon.remove()


def rows(document: Json, key: str) -> list[Json]:
    """Take a list of objects out of a document."""
    value = document[key]
    assert isinstance(value, list)
    return value
