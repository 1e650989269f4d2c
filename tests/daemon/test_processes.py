"""Processes: told apart for certain, waited for, found wherever they went, and ended whole."""

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import trio

from expd.linux.processes import (
    TOKEN_VARIABLE,
    ProcessIdentity,
    _look_for,
    boot_id,
    identity_of,
    kill_token,
    processes_with_token,
    signal_all,
)

DEADLINE_SECONDS = 20
NO_PID = 2**22 + 1
"""Above the largest pid_max there is, proc(5)."""


@contextmanager
def _a_process(name: Path | str = "cat", token: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that waits for the end of its input."""
    with subprocess.Popen([name], stdin=subprocess.PIPE, env={**os.environ, TOKEN_VARIABLE: token}) as process:
        yield process
        process.kill()


def _identity(pid: int) -> ProcessIdentity:
    identity = identity_of(pid)
    assert identity is not None
    return identity


def test_a_process_is_known_by_boot_pid_and_start() -> None:
    """Asked twice, the same process is equal; its start time is that of /proc, its boot that of the kernel."""
    with _a_process() as process:
        identity = _identity(process.pid)

        assert identity == _identity(process.pid)
        assert (identity.pid, identity.boot_id) == (process.pid, boot_id())
        assert identity.is_alive()


def test_a_name_with_spaces_and_parentheses_is_no_riddle(tmp_path: Path) -> None:
    """The command's name stands in the middle of the line that is read, and may hold anything."""
    odd = tmp_path / "a) S 1 (b"
    odd.symlink_to("/bin/cat")
    with _a_process(odd) as process:
        identity = _identity(process.pid)
        created = psutil.Process(process.pid).create_time()

        ticks_per_second = os.sysconf("SC_CLK_TCK")
        assert abs(identity.start_ticks / ticks_per_second + psutil.boot_time() - created) < 2


OTHERS = {
    "a later start": {"start_ticks": 1},
    "another boot": {"boot_id": "00000000-0000-0000-0000-000000000000"},
    "no such pid": {"pid": NO_PID},
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
async def test_a_pid_used_again_is_another_process(changed: dict[str, object]) -> None:
    """With another start time or boot the process is gone, though its pid is in use: nobody waits for the new one."""
    with _a_process() as process:
        other = replace(_identity(process.pid), **changed)  # type: ignore[arg-type]  # the names are its fields

        with trio.fail_after(DEADLINE_SECONDS):
            await other.wait_gone()

        assert not other.is_alive()
        assert process.poll() is None


async def test_the_end_of_a_process_is_waited_for() -> None:
    """Who waits is told at the end and not before, with several waiting and the process a zombie still."""
    gone = list[str]()

    async def wait(identity: ProcessIdentity) -> None:
        await identity.wait_gone()
        gone.append("gone")

    with _a_process() as process:
        identity = _identity(process.pid)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, identity)
            nursery.start_soon(wait, identity)
            await trio.testing.wait_all_tasks_blocked()
            too_early = list(gone)
            process.kill()

        assert (too_early, gone) == ([], ["gone", "gone"])
        assert not identity.is_alive()
        assert identity_of(process.pid) is None


async def test_waiting_for_what_has_ended_returns_at_once() -> None:
    """Also when its pid is nobody's any more."""
    with _a_process() as process:
        identity = _identity(process.pid)
        process.kill()
        process.wait()

        with trio.fail_after(DEADLINE_SECONDS):
            await identity.wait_gone()


ESCAPE = """
    import os, sys, time
    # leaves its parent, its session and its group, and its parent's parent as well
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.chdir("/")
            print(os.getpid(), flush=True)
            os.close(1)
            time.sleep(1000)
        os._exit(0)
    os.wait()
"""


def _escaped(token: str) -> psutil.Process:
    """Start a process that has left its group, its session and its parent; gives what it became."""
    started = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ESCAPE)],
        env={**os.environ, TOKEN_VARIABLE: token},
        stdout=subprocess.PIPE,
        check=True,
    )
    return psutil.Process(int(started.stdout))


def _a_token() -> str:
    return f"token-{os.urandom(8).hex()}"


def test_what_left_its_session_is_found_and_killed() -> None:
    """A double fork and a setsid hide a process from its parent and its group, not from its token."""
    token = _a_token()
    escaped = _escaped(token)
    found = processes_with_token(token)

    kill_token(token)

    assert found == [escaped]
    assert processes_with_token(token) == []
    assert identity_of(escaped.pid) is None  # gone, or a zombie where nobody collects orphans


def test_killing_a_token_spares_everything_else() -> None:
    """A process of another run, or one whose token only begins alike, lives on."""
    token = _a_token()
    with _a_process(token=token) as ours, _a_process(token=f"{token}0") as other, _a_process() as none:
        kill_token(token)

        assert identity_of(ours.pid) is None
        assert (other.poll(), none.poll()) == (None, None)


FORK_FOR_EVER = """
    import os, signal, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("forking", flush=True)
    os.close(1)
    for _ in range(300):  # each generation takes the place of the one before
        if os.fork():
            os._exit(0)
    time.sleep(1000)
"""


def test_a_tree_that_forks_on_is_ended_too() -> None:
    """Killing goes on in rounds until nothing of the run lives, however fast it multiplies."""
    token = _a_token()
    environ = {**os.environ, TOKEN_VARIABLE: token}
    command = [sys.executable, "-c", textwrap.dedent(FORK_FOR_EVER)]
    everyone_gone, held_by_all = os.pipe()
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, pass_fds=[held_by_all]) as process:
        os.close(held_by_all)
        assert process.stdout is not None
        process.stdout.readline()

        kill_token(token)

    ready, _, _ = select.select([everyone_gone], [], [], 1.0)  # a listing might miss what forks on, a pipe does not
    os.close(everyone_gone)
    kill_token(token)
    assert ready


def test_what_tells_nothing_is_known_again_in_the_next_listing() -> None:
    """A zombie has no environment any more, as a thread of the kernel has none: nobody looks for ever because of either."""
    token = _a_token()
    with subprocess.Popen(["true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)

        first, second = _look_for(token)[1], _look_for(token)[1]

    assert zombie.pid in first & second


def test_a_signal_reaches_who_lives_and_passes_over_who_is_gone() -> None:
    """One that has ended in between is no error and no reason to leave the others out."""
    with _a_process() as gone, _a_process() as living:
        processes = [psutil.Process(gone.pid), psutil.Process(living.pid)]
        gone.kill()
        gone.wait()

        signal_all(processes, signal.SIGTERM)

        assert living.wait(DEADLINE_SECONDS) == -signal.SIGTERM


LEAVE = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while os.getppid() != int(sys.argv[1]):  # the one between us ends first
            pass
        os.write(int(sys.argv[2]), b"x")
        os.read(0, 1)
"""
ADOPT = """
    import os, subprocess, sys
    from expd.linux.processes import become_subreaper, descendants, reap_orphans

    become_subreaper()
    adopted, tells = os.pipe()
    subprocess.run([sys.executable, "-c", sys.argv[1], str(os.getpid()), str(tells)], pass_fds=[tells])
    os.read(adopted, 1)
    orphans = descendants()
    print(len(orphans), orphans[0].ppid() == os.getpid())
    orphans[0].kill()
    os.waitid(os.P_PID, orphans[0].pid, os.WEXITED | os.WNOWAIT)
    print(len(descendants()), os.path.exists(f"/proc/{orphans[0].pid}"))
    reap_orphans()
    print(os.path.exists(f"/proc/{orphans[0].pid}"))
    reap_orphans()
"""


def test_orphans_are_adopted_seen_and_collected() -> None:
    """What leaves its parent becomes a child of the subreaper; a zombie is no descendant, and does not stay."""
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing):
        result = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(ADOPT), LEAVE],
            stdin=reading,
            capture_output=True,
            text=True,
            check=False,
        )

    assert result.stdout.split() == ["1", "True", "0", "True", "False"], result.stderr
