"""Recovery's decisions: one for each state that a crash, a collection or a person can leave."""

from dataclasses import replace
from itertools import product
from typing import Literal

import pytest

from expd.queueing.recovery import (
    WAITING,
    WITHOUT_ENVIRONMENT,
    Decision,
    EntryFacts,
    GiveUp,
    HoldAgain,
    LetGo,
    RunFacts,
    SetAside,
    SubmissionFacts,
    Verdict,
    decide,
    decide_refs,
    decide_submission,
)
from expproto.vocabulary import EntryId, EntryState, Rev

TREE, STASH, OTHER = Rev("1" * 40), Rev("2" * 40), Rev("3" * 40)
RefState = Literal["whole", "wide", "absent", "damaged"] | None
REF_STATES: list[RefState] = ["whole", "wide", "absent", "damaged", None]
AGAIN = {
    state: HoldAgain(
        git_directory="/r/.git", held_as="store/request", captured_tree=TREE, stash_revs=(STASH,), was=state
    )
    for state in ("absent", "damaged", "wide")
}
GIVEN_UP = GiveUp(entry=EntryId(7), git_directory="/r/.git", reason=f"snapshot gone: commit {STASH} is not there")
AWAY = SetAside(entry=EntryId(7), git_directory="/r/.git", reason="its repository is not there: /r/.git")


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


def _entry(state: EntryState, has_snapshot: bool | None, number: int = 7, rev: Rev = STASH) -> EntryFacts:
    missing = f"commit {rev} is not there" if has_snapshot is False else ""
    return EntryFacts(entry=EntryId(number), state=state, stash_rev=rev, has_snapshot=has_snapshot, missing=missing)


def _submission(*entries: EntryFacts, is_there: bool, ref_state: RefState) -> SubmissionFacts:
    return SubmissionFacts(
        held_as="store/request",
        git_directory="/r/.git",
        captured_tree=TREE,
        is_there=is_there,
        ref_state=ref_state,
        entries=entries,
    )


def _expected(state: EntryState, is_there: bool, ref_state: RefState, has_snapshot: bool | None) -> list[Decision]:
    """Say the table: what a single entry needs."""
    if not is_there:
        return [AWAY] if state is EntryState.QUEUED else []
    if has_snapshot and ref_state in AGAIN:
        return [AGAIN[str(ref_state)]]
    if has_snapshot is False and state in {EntryState.HELD, EntryState.QUEUED}:
        return [GIVEN_UP]
    return []


@pytest.mark.parametrize(
    ("state", "is_there", "ref_state", "has_snapshot"),
    list(product(EntryState, [True, False], REF_STATES, [True, False, None])),
)
def test_every_combination_has_its_decision(
    state: EntryState, is_there: bool, ref_state: RefState, has_snapshot: bool | None
) -> None:
    """Set again what can be, end what waits for nothing, hold what waits for a disk; never touch what runs or is unknown."""
    facts = _submission(_entry(state, has_snapshot), is_there=is_there, ref_state=ref_state)

    assert decide_submission(facts) == _expected(state, is_there, ref_state, has_snapshot)


@pytest.mark.parametrize("state", EntryState)
def test_what_waits_without_its_environment_ends(state: EntryState) -> None:
    """A backup of the store holds none: nothing is run in an empty one, and a retry takes that of its shell."""
    entry = replace(_entry(state, has_snapshot=True), has_environment=False)

    decided = decide_submission(_submission(entry, is_there=True, ref_state="whole"))

    ended = GiveUp(entry=EntryId(7), git_directory="/r/.git", reason=WITHOUT_ENVIRONMENT)
    assert decided == ([ended] if state in WAITING else [])


def test_one_point_that_is_gone_leaves_the_others_held() -> None:
    """Of a sweep, the ref is set again for what is there, and only what is gone ends."""
    facts = _submission(
        _entry(EntryState.QUEUED, has_snapshot=True, number=1),
        _entry(EntryState.QUEUED, has_snapshot=False, number=7),
        _entry(EntryState.DONE, has_snapshot=True, number=3, rev=OTHER),
        is_there=True,
        ref_state="absent",
    )

    again, given_up = decide_submission(facts)

    assert isinstance(again, HoldAgain)
    assert again.stash_revs == (STASH, OTHER)
    assert given_up == GIVEN_UP


def test_waiting_is_what_no_worker_has() -> None:
    """An entry with a run is the pool's."""
    assert frozenset({EntryState.HELD, EntryState.QUEUED}) == WAITING


@pytest.mark.parametrize(("is_capturing", "is_owned"), list(product([True, False], [True, False])))
def test_a_ref_that_nobody_owns_is_let_go(is_capturing: bool, is_owned: bool) -> None:
    """Neither rows nor a submission on its way: killed between the two."""
    name = "store/request"

    decided = decide_refs("/r/.git", [name], {name} if is_capturing else (), {name} if is_owned else ())

    orphan = [] if is_capturing or is_owned else [LetGo(git_directory="/r/.git", held_as=name)]
    assert decided == orphan
