"""`expctl follow`: every byte, from the first to the last, and the truth about how it ended."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from helpers.daemons import BIN, DEADLINE_SECONDS, RunningDaemon
from helpers.repositories import write_files

BINARY = "printf 'a\\0b\\377\\r\\nlast without newline'"


def _submit_command(daemon: RunningDaemon, repository: Path, name: str, script: str) -> None:
    daemon.expctl(repository, "submit", "-n", name, "--", "sh", "-c", script)


def _follower(daemon: RunningDaemon, repository: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [BIN / "expctl", "follow", *arguments],
        cwd=repository,
        env=daemon.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_follow_shows_output_byte_for_byte(daemon: RunningDaemon, repository: Path) -> None:
    """Bytes come as written: NUL, invalid UTF-8, carriage returns, no final newline."""
    _submit_command(daemon, repository, "bytes", BINARY)

    assert daemon.run_expctl(repository, "follow", "bytes").stdout == b"a\0b\xff\r\nlast without newline"


def test_follow_after_the_end_shows_everything(daemon: RunningDaemon, repository: Path) -> None:
    """A finished run can be followed from its first byte, as often as one likes."""
    _submit_command(daemon, repository, "done", "seq 1000")
    daemon.expctl(repository, "wait", "done")

    first, second = (daemon.run_expctl(repository, "follow", "done").stdout for _ in range(2))

    assert first == second == "".join(f"{number}\n" for number in range(1, 1001)).encode()


def test_a_long_log_is_shown_whole_after_its_end(daemon: RunningDaemon, repository: Path) -> None:
    """A complete log of megabytes is what the command wrote, byte for byte, with and without marks."""
    _submit_command(daemon, repository, "long", "yes 0123456789 | head -c 3000000")
    daemon.expctl(repository, "wait", "long")

    raw, shown = (daemon.run_expctl(repository, "follow", "long", *more).stdout for more in (["--raw"], []))

    assert raw == (b"0123456789\n" * 272_728)[:3_000_000]
    assert raw in shown


def test_follow_starts_so_many_lines_before_the_end(daemon: RunningDaemon, repository: Path) -> None:
    """`-n LINES` begins at the last lines."""
    _submit_command(daemon, repository, "tail", "seq 1000")
    daemon.expctl(repository, "wait", "tail")

    assert daemon.run_expctl(repository, "follow", "-n", "2", "tail").stdout == b"999\n1000\n"


def test_follow_is_live(daemon: RunningDaemon, repository: Path) -> None:
    """A line is shown while the run still runs: the run waits for a file that is made once its line was seen."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    _submit_command(daemon, repository, "live", f"echo first; read line < '{gate}'; echo $line")
    follower = _follower(daemon, repository, "live")
    assert follower.stdout is not None

    first = follower.stdout.readline()
    gate.write_text("second\n")
    rest, _errors = follower.communicate(timeout=DEADLINE_SECONDS)

    assert (first, rest, follower.returncode) == (b"first\n", b"second\n", 0)


@pytest.mark.parametrize(
    ("script", "exit_code"),
    [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 128 + 9), ("exec nonexistent-program", 127)],
)
def test_exit_code_of_follow_is_the_outcome(
    daemon: RunningDaemon, repository: Path, script: str, exit_code: int
) -> None:
    """Follow ends as the command did: its exit code, or 128 plus the signal."""
    _submit_command(daemon, repository, "ending", script)

    assert daemon.run_expctl(repository, "follow", "ending").returncode == exit_code


def test_output_written_just_before_the_end_is_shown(daemon: RunningDaemon, repository: Path) -> None:
    """In twenty runs that write and end at once, no last line is missing."""
    script = "for n in $(seq 200); do echo line $n; done; printf end"
    for number in range(20):
        _submit_command(daemon, repository, f"quick-{number}", script)

    outputs = {daemon.run_expctl(repository, "follow", f"quick-{number}").stdout[-7:] for number in range(20)}

    assert outputs == {b"200\nend"}


def test_several_are_followed_at_once_with_their_names(daemon: RunningDaemon, repository: Path) -> None:
    """Lines of several runs carry their names; each run's lines stay in order."""
    for name in ("one", "two"):
        _submit_command(daemon, repository, name, f"echo {name} a; echo {name} b")

    lines = daemon.run_expctl(repository, "follow", "one", "two").stdout.decode().splitlines()

    assert [line for line in lines if line.startswith("one")] == ["one | one a", "one | one b"]
    assert [line for line in lines if line.startswith("two")] == ["two | two a", "two | two b"]


def test_detaching_does_not_touch_the_run(daemon: RunningDaemon, repository: Path) -> None:
    """Ctrl-C in follow ends the follower with 130, and the run goes on to its end."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    _submit_command(daemon, repository, "goes-on", f"echo started; read line < '{gate}'; echo $line")
    follower = _follower(daemon, repository, "goes-on")
    assert follower.stdout is not None
    follower.stdout.readline()

    follower.send_signal(signal.SIGINT)
    _output, errors = follower.communicate(timeout=DEADLINE_SECONDS)
    gate.write_text("went on\n")

    assert follower.returncode == 130
    assert b"detached" in errors
    assert daemon.run_expctl(repository, "follow", "goes-on").stdout == b"started\nwent on\n"


def test_a_slow_reader_gets_everything_and_holds_up_nobody(daemon: RunningDaemon, repository: Path) -> None:
    """While one follower doesn't read megabytes of output, the run ends and others are served; then it gets all."""
    _submit_command(daemon, repository, "much", "seq 1000000")
    slow = _follower(daemon, repository, "much")

    daemon.expctl(repository, "wait", "much")
    fast = daemon.run_expctl(repository, "follow", "much").stdout
    late, _errors = slow.communicate(timeout=DEADLINE_SECONDS)

    assert late == fast == "".join(f"{number}\n" for number in range(1, 1_000_001)).encode()


def test_follow_goes_on_after_the_daemon_died(daemon: RunningDaemon, repository: Path) -> None:
    """Killed and started again, the daemon gives a follower the rest from its offset: nothing twice, nothing missing."""
    daemon.environ["EXPD_AUTOSTART"] = "1"
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    _submit_command(daemon, repository, "bridged", f"seq 1000; read line < '{gate}'; echo $line")
    follower = _follower(daemon, repository, "bridged")
    assert follower.stdout is not None
    before = b"".join(follower.stdout.readline() for _ in range(1000))

    daemon.kill()
    gate.write_text("after\n")
    rest, errors = follower.communicate(timeout=DEADLINE_SECONDS)

    assert before + rest == "".join(f"{number}\n" for number in range(1, 1001)).encode() + b"after\n", errors
    assert follower.returncode == 0


def test_follow_of_nothing_known_says_so(daemon: RunningDaemon, repository: Path) -> None:
    """An unknown entry is exit code 4 and an error that names it."""
    result = daemon.run_expctl(repository, "follow", "nobody")

    assert result.returncode == 4
    assert b"nobody" in result.stderr


TWO_STAGES = """\
stages:
  first:
    cmd: printf 'no newline'
  second:
    cmd: [echo a, exit 3]
"""


def test_the_log_holds_what_the_commands_wrote_and_nothing_else(daemon: RunningDaemon, repository: Path) -> None:
    """Our own lines stand between those of the stages, and `--raw` and the file itself are without them."""
    write_files(repository, {"dvc.yaml": TWO_STAGES})
    daemon.expctl(repository, "submit", "-n", "told")
    daemon.run_expctl(repository, "wait", "told")
    (entry,) = daemon.entries(repository, "told")

    merged = daemon.run_expctl(repository, "follow", "told").stdout.decode()
    raw = daemon.run_expctl(repository, "follow", "--raw", "told").stdout

    assert raw == Path(str(entry["log"])).read_bytes() == b"no newlinea\n"
    assert merged.startswith(
        "Running stage 'first':\n> printf 'no newline'\nno newline\n"
        "Running stage 'second':\n> echo a\na\nRunning stage 'second':\n> exit 3\nexpd: the worktree is kept in "
    )


def test_a_follower_sees_marks_and_bytes_once_over_a_restart_of_the_daemon(
    daemon: RunningDaemon, repository: Path
) -> None:
    """Killed and started again while a stage runs, the daemon goes on in both files where the follower was."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    write_files(
        repository,
        {"dvc.yaml": f"stages:\n  wait:\n    cmd:\n    - echo before; cat '{gate}'\n    - echo after\n"},
    )
    daemon.expctl(repository, "submit", "-n", "told")
    follower = _follower(daemon, repository, "told")
    assert follower.stdout is not None
    seen = [follower.stdout.readline() for _ in range(3)]

    daemon.kill()
    daemon.restart()
    gate.write_text("through the gate\n")
    rest, _errors = follower.communicate(timeout=DEADLINE_SECONDS)

    assert seen[0] == b"Running stage 'wait':\n"
    assert seen[2] == b"before\n"
    assert rest == b"through the gate\nRunning stage 'wait':\n> echo after\nafter\n"
