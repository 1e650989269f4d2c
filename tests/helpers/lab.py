"""A real systemd with one unprivileged user, in namespaces that are thrown away, and this project installed for that user."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "lab" / "systemd.sh"
DEADLINE_SECONDS = 120
_NEEDED = ("unshare", "nsenter", "setpriv", "pgrep", "journalctl", "loginctl", "dbus-daemon")
_OWN = ("/tmp", "/var/tmp", "/run")
"""Directories that a lab has of its own: what it needs of the host's is bound into it."""
_SYSTEMD = Path("/lib/systemd/systemd")


def why_no_lab() -> str | None:
    """Say why there can be no lab here; None if there can."""
    if os.geteuid() != 0:
        return "only root can make namespaces with a systemd in them"
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if missing or not _SYSTEMD.exists():
        return f"the lab needs systemd and {', '.join(_NEEDED)}; missing: {', '.join(missing) or _SYSTEMD}"
    if not any(Path(root, "cgroup.procs").exists() for root in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")):
        return "no control groups of version 2 are mounted"
    return None


class Lab:
    """The lab while it is up. `shared` is one directory of the host, at the same place inside."""

    def __init__(self, name: str, shared: Path) -> None:
        self.shared = shared
        environment = Path(sys.prefix)
        bound = [shared, *([environment] if any(map(environment.is_relative_to, _OWN)) else [])]
        above = {*Path(sys.executable).resolve().parents, *environment.parents}
        closed = [str(path) for path in above if path.stat().st_mode & 0o001 == 0]
        self._environ = {
            **os.environ,
            "LAB": name,
            "LAB_BIND": " ".join(map(str, bound)),
            "LAB_OPEN": " ".join(closed),
        }

    def up(self) -> None:
        """Boot it."""
        self._run("up", check=True)

    def down(self) -> None:
        """End all of it."""
        self._run("down", check=False)

    def user(self, *argv: str, timeout: float = DEADLINE_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a program as the user, in that user's session; it may fail."""
        return self._run("user", *argv, check=False, timeout=timeout)

    def shell(self, script: str) -> str:
        """Run a script of sh as the user, which must succeed; gives what it printed."""
        ended = self.user("sh", "-ec", script)
        assert ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}\n{self.journal()}"
        return ended.stdout.strip()

    def root(self, *argv: str) -> str:
        """Run a program as root inside, which must succeed; gives what it printed."""
        return self._run("root", *argv, check=True).stdout.strip()

    def fact(self, name: str, unit: str = "expd.service") -> str:
        """Give a property of a unit."""
        return self.shell(f"systemctl --user show {unit} --property={name} --value")

    def user_manager(self) -> str:
        """Give the state of the user's service manager."""
        return self._run("root", "systemctl", "is-active", "user@1234.service", check=False).stdout.strip()

    def journal(self) -> str:
        """Give what the service has said."""
        return self.user("journalctl", "--user", "--no-pager", "-o", "cat", "-u", "expd.service").stdout

    def _run(self, *argv: str, check: bool, timeout: float = DEADLINE_SECONDS) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, *argv],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout,
        )


@contextmanager
def a_lab(shared: Path) -> Iterator[Lab]:
    """Run a lab for as long as the block."""
    lab = Lab(f"expd-lab-{os.getpid()}", shared)
    try:
        lab.up()
        yield lab
    finally:
        lab.down()
