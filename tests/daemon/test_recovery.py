"""Recovery's decision: one sentence for each state that a crash can leave."""

import pytest

from expd.queueing.recovery import RunFacts, Verdict, decide


@pytest.mark.parametrize(
    ("worker_lives", "has_record", "verdict"),
    [
        (True, True, "settle"),
        (False, True, "settle"),
        (True, False, "adopt"),
        (False, False, "lose"),
    ],
    ids=["ended before its worker", "ended with its worker", "still running", "vanished"],
)
def test_every_active_run_has_one_verdict(worker_lives: bool, has_record: bool, verdict: Verdict) -> None:
    """An outcome on disk is believed first; without one, a living worker is adopted and a dead one's run is lost."""
    assert decide(RunFacts(worker_lives=worker_lives, has_record=has_record)) == verdict
