"""What the store says, against what is there: a list of decisions, pure. Others find the facts, and carry them out.

One sentence for each crash point. Of a run: whose worker lives is adopted; whose outcome is on the disk is settled with
it; any other has vanished with its worker, and is lost. Of a submission: a ref that is not there, or is damaged, is set
again while what it held is there, and one that an edit had widened is made narrow; an entry that waits for what is gone
ends with that reason, and others run; what waits for a repository that is away is held, since it may come back. Of a
ref without rows: the submission never came to be, and the ref is let go.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from expd.queueing.entry import Run
from expproto.vocabulary import Cancelled, EntryId, EntryState, Lost, Outcome, Rev

Verdict = Literal["adopt", "settle", "lose"]

WAITING = frozenset({EntryState.HELD, EntryState.QUEUED})
"""States in which an entry has nothing but what was captured."""


WITHOUT_ENVIRONMENT = (
    "the store was restored from a backup, which holds no environment; a retry takes that of its shell"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is known of one active run: does its worker live, and has it left an outcome?"""

    worker_lives: bool
    has_record: bool


def decide(facts: RunFacts) -> Verdict:
    """Decide what becomes of an active run."""
    if facts.has_record:
        return "settle"
    return "adopt" if facts.worker_lives else "lose"


def outcome_of_loss(run: Run, reason: str, *, is_explained: bool) -> Outcome:
    """Say how a run ended that has vanished: as was wanted, if its end was; else it is lost."""
    if run.cancel_reason is not None:
        return Cancelled(reason=run.cancel_reason, at=run.cancel_at)
    return Lost(reason=reason, is_explained=is_explained)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFacts:
    """One entry of a submission. `snapshot` tells whether its stash commit can be read; None where that is not known.

    `missing` says in words what of it is not there. A store that was restored from a backup has no environments.
    """

    entry: EntryId
    state: EntryState
    stash_rev: Rev
    has_snapshot: bool | None
    missing: str = ""
    has_environment: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionFacts:
    """One submission: whether its repository is there, and whether its ref, read by its name, holds all its entries.

    `ref_state` is `wide` where it holds also what an edit was about to make of them, and None where the ref can't be read
    for a reason that may pass.
    """

    held_as: str
    git_directory: str
    captured_tree: Rev
    is_there: bool
    ref_state: Literal["whole", "wide", "absent", "damaged"] | None
    entries: tuple[EntryFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldAgain:
    """Set the ref of a submission again, so that it holds these stash commits; `was` is `absent`, `damaged` or `wide`."""

    git_directory: str
    held_as: str
    captured_tree: Rev
    stash_revs: tuple[Rev, ...]
    was: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """End an entry that waits for what is gone."""

    entry: EntryId
    git_directory: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """Hold an entry until its repository is there again and somebody releases it."""

    entry: EntryId
    git_directory: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGo:
    """Give up a ref of this store that no submission owns."""

    git_directory: str
    held_as: str


Decision = HoldAgain | GiveUp | SetAside | LetGo


def decide_submission(facts: SubmissionFacts) -> list[Decision]:
    """Decide what a submission needs; nothing where all is as the store says, or where that can't be told."""
    if not facts.is_there:
        reason = f"its repository is not there: {facts.git_directory}"
        away = [each.entry for each in facts.entries if each.state is EntryState.QUEUED]
        return [SetAside(entry=entry, git_directory=facts.git_directory, reason=reason) for entry in away]
    decisions: list[Decision] = []
    kept = tuple(dict.fromkeys(each.stash_rev for each in facts.entries if each.has_snapshot))
    if facts.ref_state in {"absent", "damaged", "wide"} and kept:
        again = HoldAgain(
            git_directory=facts.git_directory,
            held_as=facts.held_as,
            captured_tree=facts.captured_tree,
            stash_revs=kept,
            was=str(facts.ref_state),
        )
        decisions.append(again)
    for each in facts.entries:
        if each.has_snapshot is False and each.state in WAITING:
            reason = f"snapshot gone: {each.missing or each.stash_rev}"
            decisions.append(GiveUp(entry=each.entry, git_directory=facts.git_directory, reason=reason))
        elif not each.has_environment and each.state in WAITING:
            decisions.append(GiveUp(entry=each.entry, git_directory=facts.git_directory, reason=WITHOUT_ENVIRONMENT))
    return decisions


def decide_refs(
    git_directory: str, found: Iterable[str], capturing: Container[str], owned: Container[str]
) -> Sequence[LetGo]:
    """Decide which refs of this store to let go: those that neither a submission owns nor one on its way.

    `found` must have been read before `owned`: a submission sets its ref first.
    """
    orphans = [held_as for held_as in found if held_as not in capturing and held_as not in owned]
    return [LetGo(git_directory=git_directory, held_as=held_as) for held_as in sorted(orphans)]
