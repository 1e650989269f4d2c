"""What the machine of test_kept_limits.py does: runs with limits, under a user's systemd that was given the controllers.

It begins there as root, and goes on as a user: once in a service with a group of its own, once as a program beside it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from helpers.daemons import BIN, RunningDaemon
from helpers.repositories import a_repository, git

PROGRAM = "#!{python}\nimport sys\nfrom {package}.__main__ import main\nsys.exit(main())\n"
MANAGER = """
useradd --create-home --uid 1000 ada
mkdir -p /etc/systemd/system/user@1000.service.d
printf '[Service]\\nPAMName=\\nEnvironment=XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/ada\\n' > /etc/systemd/system/user@1000.service.d/x.conf
systemctl daemon-reload
install -d -m 700 -o ada /run/user/1000
systemctl start user@1000.service
"""
"""Without the packages that make it at a login: the machine is a small one."""
AS_ADA = ["runuser", "-u", "ada", "--", "env", "XDG_RUNTIME_DIR=/run/user/1000", "HOME=/home/ada"]
TOLD = Path("/home/ada/told")
SERVICE = [
    "systemd-run", "--user", "--quiet", "--unit=told", "-p", "Delegate=yes",
    "-p", f"StandardOutput=append:{TOLD}", "-p", f"StandardError=append:{TOLD}",
]  # fmt: skip
"""It does not wait for the end: that would need a bus."""
EATER = "held = [b'x' * 2**20 for _piece in range(400)]"
OWN = "group=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)"
APPS = Path("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice")
WAIT_SECONDS = 400
RUNS: dict[str, tuple[list[str], str]] = {
    "eater": (["--mem", "64M"], f'python3 -c "{EATER}"'),
    "half": (["--mem", "64M"], f'python3 -c "{EATER}" & sleep 1000'),
    "modest": (["--mem", "64M", "--cpus", "0.5"], f"{OWN}/..; cat $group/memory.max $group/cpu.max > made.txt"),
    "free": ([], "cat /proc/self/cgroup > made.txt"),
}
"""Options, and what is run with them, one after the other by one worker."""


def say(line: str) -> None:
    """Print a line of its own on the console."""
    print(line, flush=True)  # noqa: T201 - the console is all that the outside sees


def facts(daemon: RunningDaemon, project: Path) -> dict[str, object]:
    """Run all of it, and tell what came of each."""
    for name, (options, script) in RUNS.items():
        daemon.expctl(project, "submit", "-n", name, *options, "--", "sh", "-c", script)
    waiting = daemon.start_expctl(project, "wait", *RUNS)
    waiting.communicate(timeout=WAIT_SECONDS)
    details = {name: json.loads(daemon.expctl(project, "why", name, "--json"))["detail"] for name in RUNS}
    return {
        "outcomes": details,
        "modest": made(project, details["modest"]),
        "free": made(project, details["free"]),
        "orphaned": orphaned(daemon, project),
        "doctor": [
            (finding["code"], finding["subject"])
            for finding in json.loads(daemon.expctl(project, "doctor", "--json"))["findings"]
            if finding["code"].startswith("limit_")
        ],
    }


def orphaned(daemon: RunningDaemon, project: Path) -> dict[str, object]:
    """Freeze a run with a limit, kill its worker, and tell what is left of the scope."""
    begun = project.parent / f"{project.name}.begun"
    script = f"setsid sleep 1000 & echo > {begun}; sleep 1000"
    daemon.expctl(project, "submit", "-n", "orphaned", "--mem", "64M", "--retry-on", "none", "--", "sh", "-c", script)
    until(begun.exists, "it has begun")
    daemon.expctl(project, "pause", "--freeze")
    (scope,) = APPS.glob("expd-run-*.scope")
    (group,) = scope.glob("run-*")
    until(lambda: "frozen 1" in (group / "cgroup.events").read_text(), "it is frozen")
    stopped = len((group / "cgroup.procs").read_text().split())
    (worker,) = (scope / "workers" / "cgroup.procs").read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    daemon.run_expctl(project, "wait", "orphaned")
    until(lambda: not list(APPS.glob("expd-run-*.scope")), "the scope is gone")
    return {"stopped": stopped, "outcome": daemon.entries(project, "orphaned")[0]["outcome"]}


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for longer than elsewhere: the machine is slow."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def made(project: Path, detail: dict[str, str]) -> str:
    """Give what a run wrote."""
    return git(project, "show", f"{detail['rev']}:made.txt") if "rev" in detail else str(detail)


def as_user(where: str) -> None:
    """Run all of it under a daemon of this user."""
    project = Path.home() / where
    a_repository(project)
    delegated = ("env", "EXPD_DELEGATED=yes") if where == "service" else ()
    daemon = RunningDaemon("jobs = 1\ngrace_seconds = 1.0\n", Path.home() / f"{where}.state", delegated)
    try:
        say(f"{where.upper()} " + json.dumps(facts(daemon, project)))
    except (AssertionError, subprocess.SubprocessError):
        say(daemon.journal())
        raise
    finally:
        daemon.stop()


def main() -> None:
    """Make the user and the manager, then go on as that user, in two ways."""
    for name in ("expd", "expctl"):
        program = BIN / name
        program.write_text(PROGRAM.format(python=sys.executable, package=name))
        program.chmod(0o755)
    say("\nbegins")  # the firmware ends without a line break
    subprocess.run(["sh", "-ec", MANAGER], check=True)
    subprocess.run([*AS_ADA, *SERVICE, sys.executable, __file__, "service"], cwd="/home/ada", check=True)
    while subprocess.run([*AS_ADA, "systemctl", "--user", "--quiet", "is-active", "told"], check=False).returncode == 0:
        time.sleep(1)
    say(TOLD.read_text())
    subprocess.run([*AS_ADA, sys.executable, __file__, "beside"], cwd="/home/ada", check=True)


if sys.argv[1:]:
    as_user(sys.argv[1])
else:
    main()
