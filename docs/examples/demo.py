"""The digits example from nothing to compared results: every command is printed before it runs, to be repeated.

Runs in surroundings of its own: project, daemon, home and settings lie in one temporary directory, which is removed
at the end (`--keep` leaves it). Must never touch the user's files or daemon, nor leave a process behind.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

DIGITS = Path(__file__).resolve().parent / "digits"
PROGRAMS = ("git", "dvc", "expctl", "expd")
SOCKET_PATH_BYTES_MAX = 107
"""sun_path of unix(7) without its final NUL."""
COMMAND_SECONDS = 120.0
"""The longest command, waiting for six experiments, takes ten seconds on two cores."""
ENDING_SECONDS = 10.0
"""How long processes that were told to end may take."""
WIDTH = "100"
SWEEP = ("-S", "train.hidden=16,64", "-S", "train.lr=0.001,0.003,0.01")


class DemoFailed(Exception):
    """The demonstration went wrong: the message says at what."""


class Project:
    """A fresh repository with the digits example in a temporary directory, and commands that run in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.workspace = directory / "digits"
        self.environment = surroundings(directory)

    def run(self, *argv: str) -> None:
        """Print a command and run it, its output going where ours goes; raises DemoFailed."""
        print(f"$ {shlex.join(argv)}", flush=True)
        self._checked(argv, capture=False)
        print(flush=True)

    def ask(self, *argv: str) -> str:
        """Give what a command prints, without showing it; raises DemoFailed."""
        return self._checked(argv, capture=True)

    def _checked(self, argv: Sequence[str], *, capture: bool) -> str:
        try:
            done = subprocess.run(
                argv,
                cwd=self.workspace,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if capture else None,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"`{shlex.join(argv)}` did not end within {COMMAND_SECONDS:g} s") from None
        if done.returncode != 0:
            raise DemoFailed(f"`{shlex.join(argv)}` ended with exit code {done.returncode}")
        return done.stdout or ""


def main() -> int:
    """Run the demonstration; give 0 if all went well and nothing is left."""
    parser = argparse.ArgumentParser(description="Run the digits example from nothing to compared results.")
    parser.add_argument("--keep", action="store_true", help="leave the temporary directory for a look")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        with temporary_directory(keep=arguments.keep) as directory:
            demonstrate(Project(directory))
    except DemoFailed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    say(f"Done in {time.monotonic() - began:.0f} s.")
    return 0


def demonstrate(project: Project) -> None:
    """Play all parts; whatever happens, stop the daemon and end what is left of it."""
    check_programs(project.environment)
    try:
        set_up(project)
        experiment(project)
        look(project)
        say("Stop the daemon.")
        project.run("expctl", "daemon", "stop")
    except BaseException:
        show_journal(project)
        stop_quietly(project)
        raise
    finally:
        left = end_processes(project.directory)
    if left:
        raise DemoFailed(f"processes were left and had to be ended: {', '.join(left)}")
    say("No process of this demonstration is left.")


def set_up(project: Project) -> None:
    """Make the repository: Git, DVC, one commit."""
    say("A project: three stages, parameters, metrics. Git and DVC as ever.")
    shutil.copytree(DIGITS, project.workspace, ignore=shutil.ignore_patterns("__pycache__", ".dvc"))
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.run("dvc", "init", "--quiet")
    project.run("git", "add", ".")
    project.run("git", "commit", "--quiet", "--message=The digits pipeline")


def experiment(project: Project) -> None:
    """Submit a sweep, watch one of its points, wait for all."""
    say("Two experiments at once. The first command also starts the daemon.")
    project.run("expctl", "jobs", "2")
    say("Six experiments. The prompt is back at once; edit on, what was submitted is frozen.")
    project.run("expctl", "submit", *SWEEP, "--name", "digits")
    say("Watch one of them live.")
    project.run("expctl", "follow", "digits-1")
    say("Wait for the others.")
    project.run("expctl", "wait", "--all")


def look(project: Project) -> None:
    """Show the results: our table, DVC's, one experiment's difference and its files."""
    say("What came out.")
    project.run("expctl", "show")
    say("DVC reads the same experiments: they are commits under refs/exps.")
    project.run(
        "dvc", "exp", "show", "--no-pager", "--only-changed", "--drop", r"Created|prepared|model\.joblib|src/.*"
    )
    name, rev = best_experiment(project)
    say(f"The best is {name}. An override changes its own line and nothing else.")
    project.run("git", "diff", "--unified=0", "main", rev, "--", "params.yaml")
    say("Fetch what it made, beside the workspace.")
    project.run("expctl", "get", name, "--output", "best")
    say("The workspace is as it was: the directory just fetched is all that is new.")
    project.run("git", "status", "--short")


def best_experiment(project: Project) -> tuple[str, str]:
    """Give the name and the abbreviated rev of the most accurate experiment; raises DemoFailed unless there are six."""
    experiments = json.loads(project.ask("expctl", "show", "--json"))["experiments"]
    if len(experiments) != 6 or not all("accuracy" in each["metrics"] for each in experiments):
        raise DemoFailed(f"six experiments with an accuracy were expected, not {experiments}")
    best = max(experiments, key=lambda each: (each["metrics"]["accuracy"], -each["metrics"]["log_loss"]))
    return best["name"], best["rev"][:10]


def say(text: str) -> None:
    """Print a remark, in the form of a shell's comment."""
    print(f"# {text}", flush=True)


def surroundings(directory: Path) -> dict[str, str]:
    """Give an environment in which everything that is written lies below a directory, and no settings are the user's."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("EXPD_", "GIT_", "DVC_", "XDG_"))
    }
    identity = {f"GIT_{role}_{field}": value for role in ("AUTHOR", "COMMITTER") for field, value in PERSON.items()}
    places = {name: str(directory / place) for name, place in PLACES.items()}
    path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    plain = {"PATH": path, "GIT_CONFIG_NOSYSTEM": "1", "DVC_NO_ANALYTICS": "1", "COLUMNS": WIDTH, "PAGER": "cat"}
    return environment | identity | places | plain


PERSON = {"NAME": "Demo", "EMAIL": "demo@example.org"}
PLACES = {
    "HOME": "home",
    "XDG_CONFIG_HOME": "home/.config",
    "XDG_CACHE_HOME": "home/.cache",
    "XDG_STATE_HOME": "home/.local/state",
    "EXPD_RUNTIME_DIR": "run",
    "EXPD_STATE_DIR": "state",
    "EXPD_CONFIG": "config.toml",
    "DVC_SITE_CACHE_DIR": "site",
    "DVC_SYSTEM_CONFIG_DIR": "home/system",
    "DVC_GLOBAL_CONFIG_DIR": "home/global",
}


@contextmanager
def temporary_directory(*, keep: bool) -> Iterator[Path]:
    """Make a directory whose path is short enough for a socket in it, and remove it at the end."""
    name = tempfile.mkdtemp(prefix="expd-demo-")
    if len(os.fsencode(f"{name}/run/expd.sock")) > SOCKET_PATH_BYTES_MAX:
        Path(name).rmdir()
        name = tempfile.mkdtemp(prefix="expd-demo-", dir="/tmp")
    directory = Path(name).resolve()
    (directory / "home").mkdir()
    try:
        yield directory
    finally:
        if keep:
            say(f"Kept: {directory}")
        else:
            shutil.rmtree(directory)


def check_programs(environment: Mapping[str, str]) -> None:
    """Say at once what is missing; raises DemoFailed."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=environment["PATH"]) is None]
    if missing:
        raise DemoFailed(f"not found: {', '.join(missing)}; `make demo` installs them into .venv first")


def show_journal(project: Project) -> None:
    """Print the last lines of the daemon's log: the reason is often there."""
    for path in (project.directory / "state/expd.log", project.directory / "state/workers.log"):
        if path.exists():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            print(f"--- {path.name}", *lines, sep="\n", file=sys.stderr, flush=True)


def stop_quietly(project: Project) -> None:
    """Tell the daemon to end whatever runs and then itself, if there is one."""
    environment = project.environment | {"EXPD_AUTOSTART": "0"}
    argv = ["expctl", "daemon", "stop", "--now"]
    try:
        subprocess.run(argv, env=environment, capture_output=True, timeout=ENDING_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"demo: the daemon could not be stopped: {error}", file=sys.stderr)


def end_processes(directory: Path) -> list[str]:
    """Wait until no process of ours is left; kill and name those that stay."""
    deadline = time.monotonic() + ENDING_SECONDS
    while (living := processes_of(directory)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in living:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return [f"{pid} ({command})" for pid, command in living.items()]


def processes_of(directory: Path) -> dict[int, str]:
    """Give the processes whose environment names our directory, wherever in the tree they went: pid → command."""
    marker = f"EXPD_STATE_DIR={directory}/".encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (process / "environ").read_bytes():
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:  # it has ended meanwhile, or belongs to somebody else
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
