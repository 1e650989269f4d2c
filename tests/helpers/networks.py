"""Hosts of a test's own: network namespaces, joined by links that can be cut and slowed down. Needs root; nothing stays.

head 10.77.0.1 ── link 1 ── worker host 1
               └─ link 2 ── worker host 2 …
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.daemons import DEADLINE_SECONDS
from helpers.waiting import eventually

HEAD = "10.77.0.1"
_SSH_PORT = 2222
_PROGRAMS = ("ip", "nsenter", "unshare", "sshd", "ssh", "ssh-keygen")


def why_no_networks() -> str | None:
    """Say why no networks can be made here; None if they can."""
    lacking = [name for name in _PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if lacking:
        return f"no {', '.join(lacking)} (Debian: iproute2, util-linux, openssh-server)"
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        return "network namespaces can't be made here (they need root)"
    return None


class Network:
    """A head and its worker hosts; `on_head` and `on` give the words that run a command there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []
        self._head = self._namespace()
        self._hosts: list[int] = []
        self.ssh = f"ssh -i {directory}/id -p {_SSH_PORT} -oUserKnownHostsFile={directory}/known -oStrictHostKeyChecking=accept-new -oBatchMode=yes -oConnectTimeout=3 -oServerAliveInterval=2 -oServerAliveCountMax=2"
        self._run(self._head, "ip", "address", "add", f"{HEAD}/32", "dev", "lo")

    def on_head(self) -> list[str]:
        """Give the words in front of a command that run it on the head."""
        return _inside(self._head)

    def on(self, host: int) -> list[str]:
        """Give the words in front of a command that run it on a worker host, counted from 1."""
        return _inside(self._hosts[host - 1])

    def add_host(self) -> int:
        """Make one more worker host, and give its number."""
        self._hosts.append(self._namespace())
        number = len(self._hosts)
        here, there = f"10.77.{number}.1", f"10.77.{number}.2"
        pair = ["ip", "link", "add", f"link{number}", "type", "veth", "peer", "name", "eth0", "netns"]
        self._run(self._head, *pair, str(self._hosts[-1]))
        self._run(self._head, "ip", "address", "add", f"{here}/24", "dev", f"link{number}")
        self._run(self._hosts[-1], "ip", "address", "add", f"{there}/24", "dev", "eth0")
        self._run(self._hosts[-1], "ip", "link", "set", "eth0", "up")
        self.join(number)
        return number

    def cut(self, host: int) -> None:
        """Cut a host's link: what is sent is lost, and nobody is told."""
        self._run(self._head, "ip", "link", "set", f"link{host}", "down")

    def join(self, host: int) -> None:
        """Mend a host's link."""
        self._run(self._head, "ip", "link", "set", f"link{host}", "up")
        self._run(self._hosts[host - 1], "ip", "route", "replace", HEAD, "via", f"10.77.{host}.1")

    def slow_down(self, host: int, milliseconds: int) -> bool:
        """Delay what is sent to a host; False where this kernel can't."""
        words = ["tc", "qdisc", "add", "dev", f"link{host}", "root", "netem", "delay", f"{milliseconds}ms"]
        return subprocess.run([*_inside(self._head), *words], capture_output=True, check=False).returncode == 0

    def serve_ssh(self) -> None:
        """Let everybody with the network's key in on the head."""
        keys = self._directory
        for name in ("id", "hostkey"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
        (keys / "authorized").write_bytes((keys / "id.pub").read_bytes())
        options = {
            "ListenAddress": HEAD, "Port": _SSH_PORT, "HostKey": keys / "hostkey", "AuthorizedKeysFile": keys / "authorized",
            "StrictModes": "no", "PasswordAuthentication": "no", "UsePAM": "no", "PidFile": "none", "MaxStartups": "100",
        }  # fmt: skip
        words = " ".join(f"-o{name}={value}" for name, value in options.items())
        script = f"mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec $(command -v sshd) -D -e -f /dev/null {words}"
        log = (keys / "sshd.log").open("ab")
        process = subprocess.Popen(
            [*_inside(self._head), "unshare", "--mount", "sh", "-c", script],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"},
        )  # fmt: skip
        log.close()
        self._processes.append(process)
        eventually(lambda: "listening" in (keys / "sshd.log").read_text().lower(), "sshd listens")

    def remove(self) -> None:
        """End everything: with its last process a namespace goes, and its links with it."""
        for process in reversed(self._processes):
            process.kill()
            process.wait(DEADLINE_SECONDS)

    def _namespace(self) -> int:
        process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self._processes.append(process)
        ours = Path("/proc/self/ns/net").readlink()
        eventually(lambda: Path(f"/proc/{process.pid}/ns/net").readlink() != ours, "a network of its own")
        self._run(process.pid, "ip", "link", "set", "lo", "up")
        return process.pid

    def _run(self, namespace: int, *words: str) -> None:
        done = subprocess.run([*_inside(namespace), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"


def _inside(namespace: int) -> list[str]:
    return ["nsenter", "--target", str(namespace), "--net"]


@contextmanager
def a_network(directory: Path, hosts: int) -> Iterator[Network]:
    """Have a head with so many worker hosts for as long as the block."""
    directory.mkdir(parents=True)
    network = Network(directory)
    try:
        for _host in range(hosts):
            network.add_host()
        network.serve_ssh()
        yield network
    finally:
        network.remove()
