"""What follows the end of a run, for every outcome, policy and place; and how long is waited before."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expd.queueing.retrying import Again, End, Hold, Next, Tries, backoff, what_follows
from expproto.retries import BACKOFF_SECONDS_MAX, RETRIES_MAX, RETRY_CAUSES, RetryPolicy, senseless_retries
from expproto.vocabulary import (
    Cancelled,
    Failed,
    Killed,
    Limit,
    Lost,
    Mode,
    NotStarted,
    Outcome,
    OutOfMemory,
    Refused,
    Rev,
    Succeeded,
    TimedOut,
)

AT = 1000.0
LOST = Lost(reason="its worker ended with code -9")
CAUSED: dict[str, Outcome] = {
    "oom": OutOfMemory(stage="s", evidence="cgroup"),
    "signal": Killed(stage="s", signal=9),
    "timeout": TimedOut(limit=Limit.TIME, limit_seconds=1.0, stage="s", seconds=1.0),
    "stall": TimedOut(limit=Limit.STALL, limit_seconds=1.0, stage="s", seconds=1.0),
    "exit": Failed(stage="s", exit_code=1),
}
NEVER: list[Outcome] = [
    Succeeded(rev=Rev("a" * 40)),
    Cancelled(reason="no"),
    Refused(reason="no"),
    NotStarted(stage="s", errno=2, path="p", is_directory=False),
]


def _follows(outcome: Outcome, *causes: str, used: int = 0, retries: int = 2, mode: Mode = Mode.QUEUE) -> Next:
    policy = RetryPolicy(retries=retries, causes=causes or RETRY_CAUSES, backoff_seconds=60.0)
    return what_follows(outcome, policy, Tries(retries_used=used), mode, AT)


@pytest.mark.parametrize(("cause", "ended_by"), list(itertools.product(CAUSED, CAUSED)))
def test_a_run_is_tried_again_after_the_causes_named_alone(cause: str, ended_by: str) -> None:
    """Each word of --retry-on means its own outcome and no other one's."""
    again = Again(at=AT + 60.0, tries=Tries(retries_used=1))

    assert _follows(CAUSED[ended_by], cause) == (again if cause == ended_by else End())


@pytest.mark.parametrize("outcome", NEVER, ids=lambda outcome: outcome.kind)
@pytest.mark.parametrize("mode", list(Mode))
def test_some_ends_are_final(outcome: Outcome, mode: Mode) -> None:
    """What succeeded, was cancelled or refused, or could not start, would end the same way again."""
    assert _follows(outcome, mode=mode) == End()


@pytest.mark.parametrize(
    ("code", "causes", "is_again"),
    [
        (75, ("exit:75",), True),
        (74, ("exit:75",), False),
        (75, ("exit:7", "exit:5"), False),
        (75, ("oom", "exit:75"), True),
        (1, ("signal",), False),
        (137, ("signal",), True),
        (143, ("signal",), True),
        (128, ("signal",), False),
        (255, ("signal",), False),
    ],
)
def test_an_exit_code_is_a_cause_of_its_own(code: int, causes: tuple[str, ...], *, is_again: bool) -> None:
    """`exit:75` is 75 alone; a shell's code for a command that a signal ended is a signal too."""
    assert isinstance(_follows(Failed(stage="s", exit_code=code), *causes), Again) == is_again


@pytest.mark.parametrize(("used", "is_again"), [(0, True), (1, True), (2, False), (3, False)])
def test_retries_are_used_up(used: int, *, is_again: bool) -> None:
    """Two retries are two, and then the entry is done."""
    assert isinstance(_follows(CAUSED["exit"], used=used), Again) == is_again


@pytest.mark.parametrize(("losses", "used"), list(itertools.product((0, 1, 2, 5), (0, 2))))
def test_a_loss_uses_up_no_retry_and_three_in_a_row_hold(losses: int, used: int) -> None:
    """A lost run is run again at once, whether there are retries left or not; the third in a row is somebody's to look at."""
    follows = what_follows(LOST, RetryPolicy(retries=2), Tries(retries_used=used, losses=losses), Mode.QUEUE, AT)

    tries = Tries(retries_used=used, losses=losses + 1)
    if losses < 2:
        assert follows == Again(at=None, tries=tries)
    else:
        assert isinstance(follows, Hold)
        assert follows.tries == tries
        assert (
            follows.reason == "its run was lost 3 times in a row, the last time because its worker ended with code -9"
        )


@pytest.mark.parametrize(
    ("mode", "retries", "causes", "is_again"),
    [
        (Mode.QUEUE, 0, RETRY_CAUSES, True),
        (Mode.QUEUE, 5, ("exit",), False),
        (Mode.QUEUE, 0, (), False),
        (Mode.TEMP, 0, RETRY_CAUSES, False),
        (Mode.TEMP, 1, RETRY_CAUSES, True),
        (Mode.WORKSPACE, 5, RETRY_CAUSES, False),
    ],
)
def test_what_is_lost_runs_again_where_nobody_waits_for_it(
    mode: Mode, retries: int, causes: tuple[str, ...], *, is_again: bool
) -> None:
    """In the queue by itself, unless told not to; in front of a terminal if retries were asked for; in a workspace never."""
    follows = what_follows(LOST, RetryPolicy(retries=retries, causes=causes), Tries(), mode, AT)

    assert isinstance(follows, Again) == is_again


@pytest.mark.parametrize("outcome", list(CAUSED.values()), ids=list(CAUSED))
def test_nothing_runs_twice_in_a_workspace(outcome: Outcome) -> None:
    """What the first run found there may be there no more."""
    assert _follows(outcome, mode=Mode.WORKSPACE) == End()


def test_a_loss_that_is_explained_is_none_of_the_three() -> None:
    """A machine that goes down again and again takes its runs with it, and none of them is to blame."""
    follows = what_follows(
        Lost(reason="the machine was started again", is_explained=True), RetryPolicy(), Tries(losses=2), Mode.QUEUE, AT
    )

    assert follows == Again(at=None, tries=Tries(losses=2))


def test_a_run_that_ended_by_itself_ends_a_row_of_losses() -> None:
    """Only losses that follow each other speak against the entry."""
    follows = what_follows(CAUSED["exit"], RetryPolicy(retries=1), Tries(losses=2), Mode.QUEUE, AT)

    assert isinstance(follows, Again)
    assert follows.tries == Tries(retries_used=1, losses=0)


@given(seconds=st.floats(1.0, BACKOFF_SECONDS_MAX), used=st.integers(0, RETRIES_MAX))
def test_the_wait_doubles_up_to_an_hour(seconds: float, used: int) -> None:
    """Each wait is twice the one before or the longest there is, and none is longer."""
    policy = RetryPolicy(retries=RETRIES_MAX, backoff_seconds=seconds)

    assert backoff(policy, 0) == seconds
    assert backoff(policy, used + 1) == min(2 * backoff(policy, used), BACKOFF_SECONDS_MAX)


@pytest.mark.parametrize(
    ("policy", "is_sensible"),
    [
        (RetryPolicy(), True),
        (RetryPolicy(retries=RETRIES_MAX, causes=("exit:255", "oom"), backoff_seconds=0.0), True),
        (RetryPolicy(causes=()), True),
        (RetryPolicy(retries=-1), False),
        (RetryPolicy(retries=RETRIES_MAX + 1), False),
        (RetryPolicy(backoff_seconds=-1.0), False),
        (RetryPolicy(backoff_seconds=BACKOFF_SECONDS_MAX + 1), False),
        (RetryPolicy(backoff_seconds=float("nan")), False),
        (RetryPolicy(causes=("exit:0",)), False),
        (RetryPolicy(causes=("exit:256",)), False),
        (RetryPolicy(causes=("exit:",)), False),
        (RetryPolicy(causes=("exit:x",)), False),
        (RetryPolicy(causes=("oom:1",)), False),
        (RetryPolicy(causes=("killed",)), False),
    ],
)
def test_a_policy_that_makes_no_sense_is_told_apart(policy: RetryPolicy, *, is_sensible: bool) -> None:
    """What nobody can mean is refused when it is submitted, and not found out after the run."""
    assert (senseless_retries(policy) is None) == is_sensible
