"""Limits of memory and processors, kept by a kernel whose controllers systemd was given: in a machine of its own.

The machine is the one of `test_power_cut.py`. Here, and in containers, the controllers mostly belong to somebody else.
"""

import json
import threading
from pathlib import Path

import pytest

from helpers.machine import Disks, why_no_machine

NO_MACHINE = why_no_machine()
pytestmark = [pytest.mark.faults, pytest.mark.skipif(NO_MACHINE is not None, reason=NO_MACHINE or "")]

JOB = Path(__file__).with_name("kept_limits_job.py")
MACHINE_SECONDS_MAX = 1800
LIMIT = 64 * 2**20


def test_the_kernel_keeps_the_limits_of_a_run(tmp_path: Path) -> None:
    """Under a service and beside it: who needs more memory ends as out of memory, with all it started; and of a frozen run whose worker is killed nothing is left."""
    disks = Disks(tmp_path, JOB)

    with disks.powered() as machine:
        over = threading.Timer(MACHINE_SECONDS_MAX, machine.cut)
        over.start()
        told = dict(
            line.split(" ", 1) for line in machine.lines() if line.startswith(("SERVICE ", "BESIDE ", "ENDED "))
        )
        over.cancel()

    assert told["ENDED"] == "0"
    for where in ("SERVICE", "BESIDE"):
        facts = json.loads(told[where])
        outcomes = facts["outcomes"]
        assert [outcomes[name]["kind"] for name in ("eater", "half")] == ["out_of_memory", "out_of_memory"]
        assert {outcomes[name]["evidence"] for name in ("eater", "half")} == {"cgroup"}
        assert {outcomes[name]["limit_bytes"] for name in ("eater", "half")} == {LIMIT}
        assert 0 < outcomes["eater"]["peak_bytes"] <= LIMIT
        assert facts["modest"].split() == [str(LIMIT), "50000", "100000"]
        assert "expd-run-" not in facts["free"]
        assert ("told.service/run-" in facts["free"]) == (where == "SERVICE")
        assert facts["orphaned"] == {"stopped": 3, "outcome": "lost"}
        assert sorted(facts["doctor"]) == [["limit_kept", "--cpus"], ["limit_kept", "--mem"]]
