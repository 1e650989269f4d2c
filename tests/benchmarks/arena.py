"""Where a row is measured: two repositories of the same content, one for each side, and a daemon of our own.

Nothing of the user's is read or written: home, settings, caches, state and socket lie in one temporary directory,
which is gone at the end together with every process that was started in it.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

COMMAND_SECONDS = 300.0
"""Longer than the slowest command of the slowest side: reached only by one that hangs."""
ENDING_SECONDS = 30.0
"""DVC's workers need some seconds to notice that they shall end."""

PIPELINE = """\
stages:
  trivial:
    cmd: cp params.yaml metrics.yaml
    params:
      - x
    metrics:
      - metrics.yaml:
          cache: false
"""
FILES: Mapping[str, str] = {"dvc.yaml": PIPELINE, "params.yaml": "x: 0\n"}
"""The least that is an experiment: a parameter, a command without an interpreter, a metric that shows which point ran."""

_SLOWING = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH")
"""Set in many development environments and in no user's: without bytecode every start compiles everything again."""
_OTHERS = ("EXPD_", "GIT_", "DVC_", "XDG_")
_SIDE = "EXPD_BENCHMARK_SIDE"
"""Set in every process of a side to its repository, and inherited: by it we know our processes."""


class BenchmarkFailed(Exception):
    """A command failed or left something else than it had to: no figure may come of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """The surroundings of one row."""

    directory: Path
    ours: Path
    peer: Path
    environment: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=lambda: FILES)
    """What every project here begins with, by path."""
    scale: float = 1.0
    """What part of the full sizes is measured: less than one to see on a slow machine that a row works."""

    def scaled(self, count: int) -> int:
        """Give how many of something this run has, where the full measurement has `count`."""
        return max(1, round(count * self.scale))

    def run(self, argv: Sequence[str], cwd: Path) -> float:
        """Run a command, its output into a file as with a script; give its wall time; raises BenchmarkFailed."""
        with (self.directory / "output").open("wb") as output:
            began = time.perf_counter()
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env={**self.environment, _SIDE: str(cwd)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            _wait_ended(process)
            seconds = time.perf_counter() - began
        code = process.wait()
        if code != 0:
            said = (self.directory / "output").read_text(encoding="utf-8", errors="replace")
            raise BenchmarkFailed(f"{' '.join(argv)} ended with {code}:\n{said}")
        return seconds

    def time(self, argv: Sequence[str], cwd: Path) -> float:
        """Run a command that prints, as its last line, the seconds that what is measured in it took; give those."""
        return float(self.ask(argv, cwd).splitlines()[-1])

    def beside(self, name: str) -> "Arena":
        """Give surroundings with another project and a daemon of its own, made the first time; it ends with this one's."""
        ours = self.directory / name
        places = {place: str(self.directory / f"{name}-{place}") for place in ("EXPD_RUNTIME_DIR", "EXPD_STATE_DIR")}
        other = replace(self, ours=ours, environment={**self.environment, **places})
        if not ours.exists():
            _make_project(other, ours)
        return other

    def ask(self, argv: Sequence[str], cwd: Path) -> str:
        """Give what a command prints on its standard output, untimed."""
        self.run(argv, cwd)
        return (self.directory / "output").read_text(encoding="utf-8")


@contextmanager
def an_arena(files: Mapping[str, str] = FILES, scale: float = 1.0) -> Iterator[Arena]:
    """Make both repositories and start a daemon; at the end stop it, end what is left and remove everything."""
    directory = Path(tempfile.mkdtemp(prefix="expd-bench-", dir="/tmp")).resolve()  # a socket's path must be short
    arena = Arena(
        directory=directory,
        ours=directory / "ours",
        peer=directory / "peer",
        environment=_environment(directory),
        files=files,
        scale=scale,
    )
    (directory / "home").mkdir()
    try:
        for project in (arena.ours, arena.peer):
            _make_project(arena, project)
        arena.run(["expctl", "daemon", "start"], arena.ours)
        yield arena
        arena.run(["expctl", "daemon", "stop", "--now"], arena.ours)
    finally:
        end_processes(directory)
        shutil.rmtree(directory)


def processes_of(place: Path) -> list[int]:
    """Give the processes of the side that has this project, or of all below a directory, wherever in the tree they went."""
    mark = f"{_SIDE}={place}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            if any(variable == mark or variable.startswith(mark + b"/") for variable in variables):
                found.append(int(process.name))
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
    return found


def end_processes(project: Path) -> None:
    """Ask every process of a side to end, and kill those that are still there after a grace."""
    deadline = time.monotonic() + ENDING_SECONDS
    _signal_all(project, signal.SIGTERM)
    while processes_of(project):
        if time.monotonic() > deadline:
            _signal_all(project, signal.SIGKILL)
        time.sleep(0.1)


def _signal_all(project: Path, number: signal.Signals) -> None:
    for pid in processes_of(project):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _wait_ended(process: subprocess.Popen[bytes]) -> None:
    """Wait on a pidfd: `Popen.wait` with a timeout looks after 1, 3, 7, 15, 31, 63 … ms, which is what one would measure."""
    descriptor = os.pidfd_open(process.pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], COMMAND_SECONDS)
    finally:
        os.close(descriptor)
    if not ended:
        process.kill()
        process.wait()
        raise BenchmarkFailed(f"{process.args!r} did not end within {COMMAND_SECONDS:g} s")


def _make_project(arena: Arena, project: Path) -> None:
    project.mkdir()
    arena.run(["git", "init", "--quiet", "--initial-branch=main"], project)
    arena.run(["dvc", "init", "--quiet"], project)
    for name, text in arena.files.items():
        (project / name).write_text(text, encoding="utf-8")
    arena.run(["git", "add", "--all"], project)
    arena.run(["git", "commit", "--quiet", "--message=baseline"], project)


def _environment(directory: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _SLOWING and not name.startswith(_OTHERS)}
    person = {f"GIT_{role}_{field}": "bench" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    places = {
        "HOME": "home",
        "EXPD_RUNTIME_DIR": "run",
        "EXPD_STATE_DIR": "state",
        "EXPD_CONFIG": "config.toml",
        "DVC_SITE_CACHE_DIR": "site",
        "DVC_SYSTEM_CONFIG_DIR": "system",
        "DVC_GLOBAL_CONFIG_DIR": "global",
    }
    return (
        kept
        | person
        | {name: str(directory / place) for name, place in places.items()}
        | {"PATH": path, "GIT_CONFIG_NOSYSTEM": "1", "DVC_NO_ANALYTICS": "1"}
    )
