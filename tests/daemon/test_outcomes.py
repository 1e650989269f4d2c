"""Each outcome of a command, made to happen to a real worker: what could not start, and what the kernel ended."""

import errno
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.scripted import ScriptedDaemon, a_scripted_daemon, an_order, told_of
from expproto.vocabulary import Failed, Killed, NotStarted, OutOfMemory
from helpers.repositories import git, write_files

MEMORY_BYTES = 400 * 1024 * 1024
"""Four times what a worker has, and less than a third of what EATER takes."""
EATER = f"import os; held = [os.urandom(1024) * 1024 for _piece in range({3 * MEMORY_BYTES // 2**20})]"


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[ScriptedDaemon]:
    """Give a daemon that the test plays."""
    with a_scripted_daemon(tmp_path) as daemon:
        yield daemon


def not_executable(repository: Path) -> tuple[str, ...]:
    """Commit a program that nobody may execute."""
    write_files(repository, {"tool": "#!/bin/sh\n"})
    return ("./tool",)


def no_program(repository: Path) -> tuple[str, ...]:
    """Commit an executable file that is no program."""
    write_files(repository, {"tool": "echo of what language am I?\n"})
    (repository / "tool").chmod(0o755)
    return ("./tool",)


STARTS: dict[str, tuple[Callable[[Path], tuple[str, ...]], int]] = {
    "is not there": (lambda _repository: ("/nonexistent/program",), errno.ENOENT),
    "is in no directory of PATH": (lambda _repository: ("nonexistent-program",), errno.ENOENT),
    "is not executable": (not_executable, errno.EACCES),
    "is no program": (no_program, errno.ENOEXEC),
    "gets too long an argument": (lambda _repository: ("true", "x" * 2**18), errno.E2BIG),
}


@pytest.mark.parametrize("start", STARTS)
def test_a_command_that_cannot_start_says_why(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path, start: str
) -> None:
    """The outcome has the system's errno and the program, and the log the system's words."""
    command_of, number = STARTS[start]
    command = command_of(repository)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "the program")
    order = an_order(tmp_path, repository, command)

    outcome = scripted.run(order)

    assert outcome == NotStarted(stage="command", errno=number, path=command[0], is_directory=False)
    assert os.strerror(number) in told_of(order)


def test_a_directory_that_is_gone_is_named(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """Where the directory of a command is not in what was captured, that is what could not start it."""
    order = an_order(tmp_path, repository, ("true",), directory="nowhere")

    assert scripted.run(order) == NotStarted(
        stage="command", errno=errno.ENOENT, path=f"{order.worktree}/nowhere", is_directory=True
    )


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("kill -KILL $$", Killed(stage="command", signal=9)),
        ("sh -c 'kill -KILL $$'; exit $?", Failed(stage="command", exit_code=137)),
    ],
)
def test_sigkill_alone_is_no_want_of_memory(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path, script: str, outcome: Killed | Failed
) -> None:
    """Anybody may send SIGKILL: where the kernel says nothing of memory, nothing is guessed."""
    assert scripted.run(an_order(tmp_path, repository, ("sh", "-c", script))) == outcome


@contextmanager
def little_memory(pid: int) -> Iterator[None]:
    """Put a process of ours into a control group of its own, below ours, that may have MEMORY_BYTES."""
    group = _memory_group() / f"expd-test-{secrets.token_hex(4)}"
    try:
        group.mkdir()
        limit = next(file for name in ("memory.max", "memory.limit_in_bytes") if (file := group / name).exists())
        limit.write_text(str(MEMORY_BYTES))
        (group / "cgroup.procs").write_text(str(pid))
    except (OSError, StopIteration) as reason:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no control group with a limit of memory can be made here: {reason!r}")
    yield
    (group.parent / "cgroup.procs").write_text(str(pid))
    group.rmdir()


def _memory_group() -> Path:
    """Find the directory of our control group, where memory is limited: of version 1 if there is one, else of 2."""
    groups = [line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    path_of = dict(groups)
    return Path(f"/sys/fs/cgroup/memory{path_of['memory']}" if "memory" in path_of else f"/sys/fs/cgroup{path_of['']}")


@pytest.mark.parametrize("through_a_shell", [False, True], ids=["itself", "a shell's child"])
def test_a_command_that_eats_its_memory_is_out_of_memory(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path, through_a_shell: bool
) -> None:
    """What the kernel ends because its control group has no memory left is told from a kill, also behind a shell."""
    command = (sys.executable, "-c", EATER)
    if through_a_shell:
        command = ("sh", "-c", f"{sys.executable} -c '{EATER}'; exit $?")

    with little_memory(scripted.worker.pid):
        outcome = scripted.run(an_order(tmp_path, repository, command))

    assert outcome == OutOfMemory(stage="command", evidence="cgroup")
