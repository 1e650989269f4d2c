"""An attempt that is out on another host: what is known of it, and what becomes of it if there is no result."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from expd.bell import Bell
from expd.distributed.arrival import Expected
from expd.distributed.cargo import Sender
from expd.distributed.inputs import Inputs
from expd.distributed.logpieces import put
from expd.distributed.messages import Written, from_text
from expd.execute.marks import marks_of
from expd.gitio.repository import EMPTY_TREE, Repository
from expd.queueing.entry import Entry, Run
from expproto.vocabulary import Cancelled, Refused, Rev
from expproto.work import CancelRun, Execute, RunEnded


@dataclass(slots=True, eq=False)
class RemoteAttempt:
    """An attempt that is out: what is known of it, and what is to be done about it."""

    entry: Entry
    run: Run
    order: Execute | None
    """None: an earlier daemon sent it."""
    bell: Bell = field(default_factory=Bell)
    host: str | None = None
    """Who has claimed it."""
    heard_at: float = -math.inf
    sent_at: float = -math.inf
    told_at: float = -math.inf
    """When a worker was last told to end it."""
    is_claimed: bool = False
    is_known: bool = True
    """Whether the hub was asked about it, or need not be."""
    has_result: bool = False
    gone: str | None = None
    obstacle: str | None = None


def sender_of(entry: Entry) -> Sender:
    """Give what the cargo of an entry's submission is made of."""
    submission = entry.submission
    return Sender(
        git_directory=Path(submission.git_directory),
        workspace=Path(submission.workspace),
        stash_rev=entry.stash_rev,
        copies=submission.copies,
    )


def expected_of(attempt: RemoteAttempt) -> Expected:
    """Give what is expected of an attempt."""
    submission = attempt.entry.submission
    return Expected(
        held_as=submission.held_as,
        run=attempt.run.id,
        token=attempt.run.token,
        baseline_rev=submission.baseline_rev,
        stash_rev=attempt.entry.stash_rev,
        workspace=Path(submission.workspace),
        log=Path(attempt.run.log),
    )


def inputs_of(entry: Entry) -> Inputs:
    """Give the data that an entry reads."""
    submission = entry.submission
    return Inputs(
        git_directory=Path(submission.git_directory),
        stash_rev=entry.stash_rev,
        root=submission.root,
        project=Path(submission.workspace, submission.root),
        cache=Path(submission.cache),
    )


def write_piece(log: Path, word: Written) -> None:
    """Add what was streamed: the marks first, as a reader expects them."""
    put(marks_of(log), word.marks_offset, from_text(word.marks))
    put(log, word.log_offset, from_text(word.log))


def revocation(git_directory: Path, token: str, wish: CancelRun) -> Rev:
    """Make the commit by which the daemon claims an attempt that nobody is to run. Blocks."""
    repository = Repository(git_directory)
    return repository.write_commit(EMPTY_TREE, [], f"expd: {token}: {wish.reason}", repository.identity(wish.at or 0.0))


def cancelled(attempt: RemoteAttempt, wish: CancelRun, at: float) -> RunEnded:
    """Give the end of an attempt that nobody had begun."""
    outcome = Cancelled(reason=wish.reason, at=wish.at)
    return RunEnded(run=attempt.run.id, run_token=attempt.run.token, outcome=outcome, ended_at=at)


def refused(attempt: RemoteAttempt, reason: str, at: float) -> RunEnded:
    """Give the end of an attempt whose result can't be taken."""
    return RunEnded(run=attempt.run.id, run_token=attempt.run.token, outcome=Refused(reason=reason), ended_at=at)
