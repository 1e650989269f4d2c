"""The power of a whole machine is cut while the daemon works: its kernel is gone, with all that it had in memory.

The machine is a Debian under qemu that `tests/lab/machine.sh` builds once; cutting its power is `kill -9` of qemu.
"""

import json
import random
import threading
from pathlib import Path

import pytest

from helpers.machine import Disks, Machine, why_no_machine
from helpers.seeds import a_seed

NO_MACHINE = why_no_machine()
pytestmark = [pytest.mark.faults, pytest.mark.skipif(NO_MACHINE is not None, reason=NO_MACHINE or "")]

JOB = Path(__file__).with_name("power_cut_job.py")
ACKNOWLEDGED_MIN = 12
BEFORE_CUT_SECONDS_MAX = 3.0
MACHINE_SECONDS_MAX = 900
"""Each of its two lives; a machine that is emulated is slow."""


def _words(machine: Machine, word: str) -> list[str]:
    return [line.removeprefix(f"{word} ") for line in machine.console if line.startswith(f"{word} ")]


def _work_until_the_cut(disks: Disks, seconds: float) -> Machine:
    """Let it submit until enough is acknowledged, and some seconds more; gives what it had printed by then."""
    with disks.powered(acknowledged="") as machine:
        cut = threading.Timer(MACHINE_SECONDS_MAX, machine.cut)
        cut.start()
        for _line in machine.lines():
            if len(_words(machine, "ACK")) == ACKNOWLEDGED_MIN and cut.interval != seconds:
                cut.cancel()
                cut = threading.Timer(seconds, machine.cut)
                cut.start()
        cut.cancel()
    return machine


def _look_after_it(disks: Disks, acknowledged: list[str]) -> Machine:
    with disks.powered(acknowledged=" ".join(acknowledged)) as machine:
        over = threading.Timer(MACHINE_SECONDS_MAX, machine.cut)
        over.start()
        for _line in machine.lines():
            pass
        over.cancel()
    return machine


def test_a_machine_whose_power_is_cut_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """After the cut all that was acknowledged is there, whole; what ran is lost, runs again in the new boot, and all succeeds."""
    disks = Disks(tmp_path, JOB)

    first = _work_until_the_cut(disks, random.Random(a_seed()).uniform(0, BEFORE_CUT_SECONDS_MAX))
    acknowledged = _words(first, "ACK")
    assert len(acknowledged) >= ACKNOWLEDGED_MIN
    assert (_words(first, "RUNNING"), _words(first, "ENDED")) == (["long"], [])
    second = _look_after_it(disks, acknowledged)

    assert _words(second, "ENDED") == ["0"]
    facts = json.loads(_words(second, "FACTS")[0])
    (boot,) = _words(first, "BOOT")
    assert facts["boot"] != boot
    assert set(acknowledged) <= set(facts["outcomes"])
    assert set(facts["outcomes"].values()) == {"succeeded"}
    open_of_before = [run for run in facts["at_start"] if run[1] == boot and not run[3]]
    assert {run[2] for run in open_of_before} <= {"collecting"}  # it had ended, and left its outcome on the disk
    of_long = [
        (run_boot, json.loads(outcome)) for name, run_boot, _state, _over, outcome in facts["runs"] if name == "long"
    ]
    assert [run_boot for run_boot, _outcome in of_long] == [boot, facts["boot"]]
    lost = sum("lost" in outcome for _name, _boot, _state, _over, outcome in facts["runs"])
    print(  # noqa: T201 - how much was tried
        f"{len(acknowledged)} submissions were acknowledged, {len(facts['outcomes'])} are there; {facts['refs']} refs, "
        f"{len(facts['runs'])} runs, {lost} of them lost: {of_long}"
    )
    assert "lost" in json.dumps(of_long[0][1])
    assert facts["files_min"] > 0
