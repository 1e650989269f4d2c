"""A RabbitMQ for tests: a real one, on ports and in a directory of its own, which keeps what is durable over a kill."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from helpers.certificates import Certificates
from helpers.daemons import DEADLINE_SECONDS
from helpers.waiting import eventually

_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The one on the PATH insists on the user that Debian has made for it."""
USER, PASSWORD, _QUOTED = "expd", "p:ss/w@rd", "p%3Ass%2Fw%40rd"

needs_rabbitmq = pytest.mark.skipif(
    not _PROGRAM.exists() or shutil.which("epmd") is None,
    reason="no rabbitmq-server (Debian: apt install rabbitmq-server)",
)


class RabbitMQ:
    """A node with one user; with certificates it speaks TLS on a second port, and asks others for theirs."""

    def __init__(self, directory: Path, tls: Certificates | None = None) -> None:
        self._directory = directory
        self._starts = 0
        directory.mkdir(parents=True)
        port, tls_port, distribution, names = _free_ports(4)
        self.url = f"amqp://{USER}:{_QUOTED}@127.0.0.1:{port}//"
        self.tls_url = f"amqps://{USER}:{_QUOTED}@127.0.0.1:{tls_port}//"
        (directory / "rabbit.conf").write_text(_config(port, tls_port, tls))
        (directory / "plugins").write_text("[].\n")
        self._environ = {
            **os.environ,
            "HOME": str(directory),
            "ERL_EPMD_PORT": str(names),
            "RABBITMQ_NODENAME": f"expd{port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(directory / "db"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbit"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "none"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        }
        self._names = subprocess.Popen(["epmd", "-port", str(names)], stdin=subprocess.DEVNULL)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and wait until it listens."""
        self._starts += 1
        with (self._directory / "out").open("ab") as out:
            self.process = subprocess.Popen(
                [_PROGRAM], env=self._environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        eventually(self._listens, "rabbitmq listens")
        return self.process

    def stop(self) -> None:
        """Kill it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_SECONDS)

    def remove(self) -> None:
        """End all of it."""
        self.stop()
        self._names.kill()
        self._names.wait(DEADLINE_SECONDS)

    def _listens(self) -> bool:
        return (self._directory / "out").read_text().count("Server startup complete") == self._starts


def _config(port: int, tls_port: int, tls: Certificates | None) -> str:
    lines = [
        *(f"default_user = {USER}", f"default_pass = {PASSWORD}", f"listeners.tcp.1 = 127.0.0.1:{port}"),
        *("log.console = true", "log.console.level = info", "log.file = false"),
    ]
    if tls is not None:
        certificate, key = tls.signed("server")
        lines += [
            f"listeners.ssl.1 = 127.0.0.1:{tls_port}",
            *(f"ssl_options.cacertfile = {tls.authority}", f"ssl_options.certfile = {certificate}"),
            *(
                f"ssl_options.keyfile = {key}",
                "ssl_options.verify = verify_peer",
                "ssl_options.fail_if_no_peer_cert = true",
            ),
        ]
    return "\n".join(lines) + "\n"


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
