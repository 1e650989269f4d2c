"""A command of a run: its output, its end, and the end of everything it started, however it tries to stay."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from expd.execute.commands import StartFailed, run_command
from expd.execute.freezing import Freezer
from helpers.daemons import DEADLINE_SECONDS

DRIVER = """
import json, os, pathlib, sys, psutil, trio
from expd.execute.freezing import Freezer
from expd.execute.commands import INTERRUPTED, LEFT_BEHIND, end_tree, run_command
from expd.linux.processes import become_subreaper

async def main(argv, ready, grace, signals):
    log = os.open("log", os.O_WRONLY | os.O_CREAT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_command, argv, pathlib.Path.cwd(), dict(os.environ), log, Freezer())
        await trio.to_thread.run_sync(pathlib.Path(ready).read_text)
        nursery.cancel_scope.cancel()
    start = trio.current_time()
    count = await end_tree({"interrupted": INTERRUPTED, "left": LEFT_BEHIND}[signals], grace)
    left = [process.pid for process in psutil.Process().children(recursive=True)]
    print(json.dumps({"count": count, "left": left, "seconds": trio.current_time() - start}))

become_subreaper()
trio.run(main, *json.loads(sys.argv[1]))
"""
"""What a worker does to a run that is cancelled, in a process of its own: it adopts orphans, and reaps all children."""


@dataclass(frozen=True)
class Ended:
    """What `end_tree` said, what was left below the driver, zombies among it, and how long it took."""

    count: int
    left: list[int]
    seconds: float


def end(tmp_path: Path, argv: list[str], *, grace_seconds: float = 0.2, signals: str = "interrupted") -> Ended:
    """Start a command in a driver, wait until it writes to the FIFO `ready`, and end its tree."""
    os.mkfifo(tmp_path / "ready")
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps([argv, str(tmp_path / "ready"), grace_seconds, signals])],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stderr.decode()
    return Ended(**json.loads(done.stdout))


STUBBORN = "trap '' INT TERM HUP;"
PYTHON_IGNORES = "import os, signal, time\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\n"
READY = "open('ready', 'w').write('ready')\n"
TREES = {
    "ignores its signals": ["sh", "-c", f"{STUBBORN} echo > ready; sleep 300; sleep 300"],
    "has children in the background": ["sh", "-c", f"{STUBBORN} for n in 1 2 3; do sh -c 'sleep 300' & done; echo > ready; wait"],
    "left its session": ["sh", "-c", f"setsid sh -c \"{STUBBORN} echo > ready; sleep 300\" & wait"],
    "forked twice and left": ["sh", "-c", f"(setsid sh -c \"({STUBBORN} echo > ready; sleep 300) &\" &); sleep 300"],
    "was stopped": ["sh", "-c", "sh -c 'kill -STOP $$; sleep 300' & echo > ready; sleep 300"],
    "breeds, in sessions of their own": [
        sys.executable,
        "-c",
        (f"{PYTHON_IGNORES}"
        "def sleep():\n    if os.fork() == 0: os.setsid(); time.sleep(300)\n"
        "for n in range(3):\n    if os.fork() == 0:\n        while True: sleep(); time.sleep(0.002)\n"
        f"{READY}time.sleep(300)"),
    ],
    "forks and ends, again and again": [
        sys.executable,
        "-c",
        f"{PYTHON_IGNORES}{READY}end = time.time() + 60\nwhile time.time() < end:\n    if os.fork(): os._exit(0)",
    ],
    "starts another when it is told to end": [
        "sh",
        "-c",
        "trap 'sleep 300 & setsid sleep 300 &' INT TERM; echo > ready; while :; do sleep 300; done",
    ],
}  # fmt: skip


@pytest.mark.parametrize("tree", TREES)
def test_a_tree_is_ended_to_its_last_process(tmp_path: Path, tree: str) -> None:
    """Whatever ignores signals, leaves its group, session or parent, or forks while it dies: nothing of it is left."""
    ended = end(tmp_path, TREES[tree])

    assert ended.left == []


def _writes_a_checkpoint_at(number: signal.Signals) -> list[str]:
    """Give a command that waits for a signal, which it has blocked before it says that it is ready, and then saves."""
    script = (
        f"import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [{number.value}])\n{READY}"
        f"signal.sigwait([{number.value}])\nopen('checkpoint', 'w').write('saved')"
    )
    return [sys.executable, "-c", script]


def test_a_tree_that_heeds_its_signal_is_not_hurried(tmp_path: Path) -> None:
    """SIGINT comes first and leaves time to write a checkpoint; the end does not wait for the grace to pass."""
    ended = end(tmp_path, _writes_a_checkpoint_at(signal.SIGINT), grace_seconds=DEADLINE_SECONDS)

    assert (tmp_path / "checkpoint").read_text() == "saved"
    assert (ended.left, ended.seconds < 30) == ([], True)


def test_what_is_left_behind_is_told_to_end_first(tmp_path: Path) -> None:
    """A process that outlives its run gets SIGTERM, so that it can put its things in order."""
    ended = end(tmp_path, _writes_a_checkpoint_at(signal.SIGTERM), grace_seconds=DEADLINE_SECONDS, signals="left")

    assert (tmp_path / "checkpoint").read_text() == "saved"
    assert ended.left == []


def test_nothing_to_end_takes_no_time(tmp_path: Path) -> None:
    """After a run that left nothing, no grace passes and nobody is counted."""
    ended = end(tmp_path, ["sh", "-c", "exec echo > ready"], grace_seconds=DEADLINE_SECONDS)

    assert (ended.left, ended.seconds < 30) == ([], True)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[int]:
    """Give a descriptor of a run log."""
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -KILL $$", -9), ("kill -SEGV $$", -11), ("nonsense", 127)],
)
async def test_a_command_gives_its_own_end(tmp_path: Path, log: int, script: str, code: int) -> None:
    """The exit status is the command's, a death by signal is its number, negative."""
    assert await run_command(["sh", "-c", script], tmp_path, dict(os.environ), log, Freezer()) == code


async def test_a_command_that_cannot_start_names_itself(tmp_path: Path, log: int) -> None:
    """A program that does not exist is an error with its name, no exit status."""
    with pytest.raises(StartFailed, match="/nonexistent/program"):
        await run_command(["/nonexistent/program"], tmp_path, dict(os.environ), log, Freezer())


SCORE = "/proc/self/oom_score_adj"


def _score() -> int:
    return int(Path(SCORE).read_text())


async def test_a_command_is_ended_before_us_when_memory_runs_out(tmp_path: Path, log: int) -> None:
    """Its score, and so that of all it starts, is higher than ours; ours is as it was, also beside another start."""
    before = _score()

    async with trio.open_nursery() as nursery:
        for _command in range(3):
            nursery.start_soon(run_command, ["cat", SCORE], tmp_path, dict(os.environ), log, Freezer())

    assert (tmp_path / "log").read_text().split() == [str(min(before + 200, 1000))] * 3
    assert _score() == before


async def test_output_keeps_its_order(tmp_path: Path, log: int) -> None:
    """Twenty thousand lines, to standard output and error in turns, stand in the log as they were written."""
    script = "import os\nfor n in range(20000): os.write(1 + n % 2, b'%d\\n' % n)"

    await run_command([sys.executable, "-c", script], tmp_path, dict(os.environ), log, Freezer())

    assert (tmp_path / "log").read_text() == "".join(f"{number}\n" for number in range(20000))


async def test_a_command_has_a_group_of_its_own_and_no_input(tmp_path: Path, log: int) -> None:
    """It leads its process group, reads the end of its input at once, and has exactly the environment it was given."""
    script = 'test "$(ps -o pgid= -p $$ | tr -d " ")" = $$ && echo leads; cat; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL='
    start = time.monotonic()

    await run_command(["/bin/sh", "-c", script], tmp_path, {"ONLY": "this", "PATH": os.environ["PATH"]}, log, Freezer())

    lines = (tmp_path / "log").read_text().splitlines()
    assert sorted(lines) == sorted(["leads", "ONLY=this", f"PATH={os.environ['PATH']}"])
    assert time.monotonic() - start < DEADLINE_SECONDS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE])
async def test_a_command_ignores_no_signal_from_the_start(tmp_path: Path, log: int, number: signal.Signals) -> None:
    """No signal is ignored or blocked in a command because it was so in us: each of these ends it."""
    code = await run_command(
        ["sh", "-c", f"kill -{number.value} $$; exit 0"], tmp_path, dict(os.environ), log, Freezer()
    )

    assert code == -number.value
