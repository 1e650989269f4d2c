"""Limits of memory and processors in a real worker, kept by whoever keeps them on this machine."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.scripted import ScriptedDaemon, a_scripted_daemon, an_order, told_of
from expd.linux.scopes import CPU, MEMORY, hindrance
from expproto.limits import HINDRANCES, RunLimits
from expproto.vocabulary import OutOfMemory, Succeeded

LIMIT = 64 * 2**20
EATER = f"import time; held = [b'x' * 2**20 for _piece in range({3 * LIMIT // 2**20})]; time.sleep(300)"


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[ScriptedDaemon]:
    """Give a daemon that the test plays."""
    with a_scripted_daemon(tmp_path) as daemon:
        yield daemon


def test_who_needs_more_memory_than_its_limit_is_ended(
    scripted: ScriptedDaemon, tmp_path: Path, repository: Path
) -> None:
    """It is killed, without a grace; the outcome has the limit and what was used. Where the kernel keeps none, the log says so, and the worker looks."""
    command = ("sh", "-c", f'trap : INT TERM; {sys.executable} -c "{EATER}" & wait; sleep 300')
    order = an_order(tmp_path, repository, command, limits=RunLimits(memory_bytes=LIMIT), grace_seconds=300.0)

    outcome = scripted.run(order)

    why_not = hindrance(MEMORY)
    assert isinstance(outcome, OutOfMemory)
    assert (outcome.stage, outcome.limit_bytes) == ("command", LIMIT)
    assert outcome.evidence == ("cgroup" if why_not is None else "watched")
    assert why_not is None or (outcome.peak_bytes or 0) > LIMIT
    assert why_not is None or HINDRANCES[why_not] in told_of(order)


def test_a_run_below_its_limits_is_left_alone(scripted: ScriptedDaemon, tmp_path: Path, repository: Path) -> None:
    """It ends well, its libraries were told how many processors it has, and a limit that nobody keeps is named."""
    command = ("sh", "-c", 'test "$OMP_NUM_THREADS" = 2')
    order = an_order(tmp_path, repository, command, limits=RunLimits(memory_bytes=2**40, cpus=1.5))

    outcome = scripted.run(order)

    why_not = hindrance(CPU)
    assert isinstance(outcome, Succeeded)
    assert ("processors is not kept" in told_of(order)) == (why_not is not None)
