"""A broker, a hub and worker programs for tests: real ones, on ports and in directories of their own."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from helpers.certificates import Certificates
from helpers.daemons import BIN, DEADLINE_SECONDS, RunningDaemon
from helpers.repositories import git
from helpers.waiting import eventually

PASSWORD = "p:ss/w@rd"
_QUOTED = "p%3Ass%2Fw%40rd"
LEASE_SECONDS = 3.0
"""The shortest there is."""


def missing() -> str | None:
    """Say what this machine lacks for a broker; None if nothing."""
    if shutil.which("redis-server") is None:
        return "no redis-server (Debian: apt install redis-server)"
    lacking = [name for name in ("celery", "redis") if importlib.util.find_spec(name) is None]
    return f"no Python package {' and '.join(lacking)} (the extra `celery`)" if lacking else None


needs_broker = pytest.mark.skipif(missing() is not None, reason=str(missing()))


class Broker(Protocol):
    """What tests do with a broker."""

    url: str

    def start(self) -> object:
        """Start it again."""

    def stop(self) -> None:
        """Kill it."""


class Redis:
    """A Redis with a password, which remembers nothing beyond its end; what stands `before` its name puts it into another network.

    With certificates it speaks TLS alone, and asks others for theirs.
    """

    def __init__(
        self,
        directory: Path,
        before: Sequence[str] = (),
        address: str = "127.0.0.1",
        tls: Certificates | None = None,
    ) -> None:
        self._directory = directory
        self._tls = tls
        self._before = before
        self._address = address
        self._starts = 0
        directory.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        scheme = "redis" if tls is None else "rediss"
        self.url = f"{scheme}://:{_QUOTED}@{address}:{self.port}/0"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and wait until it listens."""
        self._starts += 1
        words = ["redis-server", *self._ports(), "--bind", self._address, "--requirepass", PASSWORD]
        with (self._directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._before, *words, "--dir", str(self._directory), "--save", "", "--appendonly", "no"],
                stdout=log,
                stderr=log,
            )
        eventually(self._listens, "redis listens")
        return self.process

    def _ports(self) -> list[str]:
        if self._tls is None:
            return ["--port", str(self.port)]
        certificate, key = self._tls.signed("server")
        files = {"cert-file": certificate, "key-file": key, "ca-cert-file": self._tls.authority}
        given = [word for name, path in files.items() for word in (f"--tls-{name}", str(path))]
        return ["--port", "0", "--tls-port", str(self.port), *given]

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)

    def _listens(self) -> bool:
        return (self._directory / "log").read_text().count("Ready to accept connections") == self._starts


class WorkerProgram:
    """`expd worker`, as on a host of its own: it shares no state with the daemon; `before` as with a daemon."""

    def __init__(
        self,
        daemon: RunningDaemon,
        *arguments: str,
        name: str = "host",
        before: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = daemon.directory / name
        self.directory.mkdir(exist_ok=True)
        self.log = self.directory / "log"
        self.environ = {
            **daemon.environ,
            "EXPD_STATE_DIR": str(self.directory / "state"),
            "EXPD_RUNTIME_DIR": str(self.directory / "run"),
            **(environ or {}),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*before, BIN / "expd", "worker", "--engine", "celery", *arguments],
                env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """End it at once, and its runs, as the loss of a host does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        for session in self._sessions():
            os.killpg(session, signal.SIGKILL)

    def _sessions(self) -> list[int]:
        """Find the worker processes that it has left: each leads a session of its own."""
        found = []
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                try:
                    environ = (place / "environ").read_bytes().split(b"\0")
                    command = (place / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if b"expd.execute" in command and os.fsencode(f"EXPD_STATE_DIR={self.directory / 'state'}") in environ:
                    found.append(int(place.name))
        return found


def celery_config(broker: str, hub: Path | str, lease_seconds: float = LEASE_SECONDS) -> str:
    """Give the table of settings that daemon and workers read."""
    table = f"[engines.celery]\nbroker = '{broker}'\nhub = '{hub}'\nlease_seconds = {lease_seconds}\n"
    return f"grace_seconds = 1.0\n{table}"


def a_hub(path: Path) -> Path:
    """Make an empty hub."""
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--bare")
    return path


@contextmanager
def other_hosts(directory: Path, broker: Broker | None = None) -> Iterator[tuple[RunningDaemon, Broker, Path]]:
    """Give a daemon with a broker, which is a Redis of its own unless another is given, and a hub, and no workers yet."""
    redis = Redis(directory / "redis") if broker is None else None
    used = broker or redis
    assert used is not None
    hub = a_hub(directory / "hub.git")
    daemon = RunningDaemon(f"jobs = 1\n{celery_config(used.url, hub)}")
    try:
        yield daemon, used, hub
    finally:
        daemon.stop()
        print(daemon.journal())  # noqa: T201 - pytest shows it with a failure
        daemon.remove()
        if redis is not None:
            redis.stop()
