"""Control groups of runs, in a real one that the test makes where it may."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from expd.linux import cgroups
from helpers.waiting import eventually

ROOTS = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")]
TREE = """
    import os, subprocess, sys, time
    from pathlib import Path
    from expd.linux import cgroups

    group = cgroups.run_group(Path(sys.argv[1]), 3, "0123456789abcdef")
    assert cgroups.enter(group)
    subprocess.run(["sh", "-c", "setsid setsid sleep 300 & (sleep 300 &) ; exit 0"], check=True)
    if "freeze" in sys.argv:
        assert cgroups.freeze_group(group)
        print("frozen", flush=True)
        sys.stdin.readline()
        cgroups.thaw_group(group)
        print("thawed", flush=True)
        sys.stdin.readline()
    elif "leave" in sys.argv:
        cgroups.leave(group)
        print(Path("/proc/self/cgroup").read_text(), flush=True)
    else:
        print("there", flush=True)
        time.sleep(300)
"""


@pytest.fixture
def delegated() -> Iterator[Path]:
    """Give a group of version 2 that is ours to divide."""
    root = next((root for root in ROOTS if (root / "cgroup.procs").exists()), None)
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("no control group of version 2 that this user may divide")
    group = root / f"expd-test-{os.getpid()}"
    group.mkdir()
    yield group
    (group / "cgroup.kill").write_text("1")
    eventually(lambda: "populated 0" in (group / "cgroup.events").read_text(), "the group is empty")
    cgroups.remove_group(group)


def _processes(group: Path) -> list[psutil.Process]:
    return [psutil.Process(int(pid)) for pid in (group / "cgroup.procs").read_text().split()]


def _start(delegated: Path, *arguments: str) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-c", textwrap.dedent(TREE), str(delegated), *arguments]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_a_worker_leaves_in_its_group_is_ended(delegated: Path) -> None:
    """A worker goes back to those that wait, and what its run started, sessions of their own too, is gone with the group."""
    with _start(delegated, "leave") as worker:
        printed, _ = worker.communicate(timeout=30)

    assert f"0::/{delegated.name}/workers\n" in printed
    assert not list(delegated.glob("run-*"))
    assert _processes(delegated / "workers") == []


def test_the_group_of_a_dead_worker_is_ended_by_its_token(delegated: Path) -> None:
    """When a worker is killed, whatever its run started is found in its group and ended, wherever it went."""
    with _start(delegated) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        group = cgroups.run_group(delegated, 3, "0123456789abcdef")
        tree = _processes(group)
        worker.kill()
        cgroups.kill_run_group(delegated, "another token")
        still = group.exists()
        cgroups.kill_run_group(delegated, "0123456789abcdef")
        gone, alive = psutil.wait_procs(tree, timeout=10)

    assert (len(tree), still) == (3, True)
    assert (len(gone), alive) == (3, [])
    assert not group.exists()


def _states(group: Path) -> list[str]:
    return (group / "cgroup.events").read_text().splitlines()


def test_what_a_run_started_is_frozen_without_its_worker(delegated: Path) -> None:
    """The worker steps out of the group, which stands still as a whole, and back when it goes on; frozen, it can be ended."""
    group = cgroups.run_group(delegated, 3, "0123456789abcdef")
    with _start(delegated, "freeze") as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdout.readline()
        frozen, inside = _states(group), [process.pid for process in _processes(group)]
        print(file=worker.stdin, flush=True)
        worker.stdout.readline()
        thawed, again = _states(group), [process.pid for process in _processes(group)]
        worker.kill()
    (group / "cgroup.freeze").write_text("1")
    cgroups.kill_run_group(delegated, "0123456789abcdef")

    assert ("frozen 1" in frozen, "frozen 0" in thawed) == (True, True)
    assert (len(inside), worker.pid in inside) == (2, False)
    assert (len(again), worker.pid in again) == (3, True)
    assert not group.exists()


def test_a_group_in_which_something_lives_is_not_removed(delegated: Path) -> None:
    """At its start a daemon clears what runs left, and no group of a run that goes on."""
    (delegated / "run-1-aaaaaaaa").mkdir()
    with _start(delegated) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        for group in delegated.glob("run-*"):
            cgroups.remove_group(group)
        left = [group.name for group in delegated.glob("run-*")]
        worker.kill()

    assert left == ["run-3-01234567"]


def test_where_nothing_was_delegated_there_are_no_groups() -> None:
    """A group is divided only if systemd gave it to us: any other belongs to who made it."""
    assert cgroups.find_delegation({}) is None


def test_a_group_that_is_not_there_is_done(tmp_path: Path) -> None:
    """Ending what is gone is no error, and entering what can't be entered is told."""
    cgroups.kill_group(tmp_path / "gone")

    assert not cgroups.enter(tmp_path / "no" / "group")
