"""The states of an entry and every legal change between them, as data; `schema.sql` holds the same as a trigger.

    held ─▶ queued ─▶ preparing ─▶ running ─▶ collecting ─▶ done
      │        │          │           │            │          ▲
      └────────┴──────────┴───────────┴────────────┴──────────┘  cancelled, failed, lost …

Preparing may pass to collecting directly: every stage was up to date. Done may pass to queued, and what is active to
queued or held: that is another attempt.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from expd.queueing.dependents import Dependency
from expd.queueing.retrying import NOT_TRIED, Tries
from expproto.context import Context
from expproto.fields import from_map, to_map
from expproto.limits import NO_LIMITS, RunLimits
from expproto.place import ANYWHERE, QueuePlace
from expproto.progress import RunProgress
from expproto.retries import NO_RETRIES, RetryPolicy
from expproto.stage_options import DEFAULT_STAGE_OPTIONS, StageOptions
from expproto.vocabulary import OUTCOMES, EntryId, EntryState, Mode, Outcome, Rev, RunId, Succeeded

ANOTHER_ATTEMPT = frozenset({EntryState.QUEUED, EntryState.HELD})
"""Where an entry whose run has ended waits for the next one."""
LOCAL = "local"
"""The engine that is always there: worker processes of this host."""

LEGAL_CHANGES: Mapping[EntryState, frozenset[EntryState]] = {
    EntryState.HELD: frozenset({EntryState.QUEUED, EntryState.DONE}),
    EntryState.QUEUED: frozenset({EntryState.HELD, EntryState.PREPARING, EntryState.DONE}),
    EntryState.PREPARING: frozenset({EntryState.RUNNING, EntryState.COLLECTING, EntryState.DONE}) | ANOTHER_ATTEMPT,
    EntryState.RUNNING: frozenset({EntryState.COLLECTING, EntryState.DONE}) | ANOTHER_ATTEMPT,
    EntryState.COLLECTING: frozenset({EntryState.DONE}) | ANOTHER_ATTEMPT,
    EntryState.DONE: frozenset({EntryState.QUEUED}),
}


def may_change(before: EntryState, after: EntryState) -> bool:
    """Tell whether an entry may pass from one state to the other."""
    return after in LEGAL_CHANGES[before]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What all entries of one submission share: where it was made and what is to be run.

    `root` is the project's root and `directory` where the pipeline is, both relative to the workspace.
    """

    request_id: str
    held_as: str
    """The ref that holds what was captured, below refs/expd/entries/."""
    git_directory: str
    workspace: str
    root: str
    directory: str
    cache: str
    baseline_rev: Rev
    message: str | None
    command: tuple[str, ...] | None
    targets: tuple[str, ...]
    force: bool
    umask: int
    environment: bytes = field(compare=False, repr=False)
    """Given to the store, and by it to whoever claims; otherwise it is empty."""
    submitted_at: float
    """When the capture began."""
    captured_tree: Rev
    """The workspace as it was captured, before the overrides."""
    name: str | None = None
    """What was asked for as name: that of the entry, or of the whole sweep."""
    on_hold: bool = False
    mode: Mode = Mode.QUEUE
    copies: str | None = None
    """The listing of what is copied beside the capture (`pipeline.copies`)."""
    as_stage: bool = False
    """Whether the command is the stage that `targets` names, in the captured dvc.yaml."""
    stage_options: StageOptions = DEFAULT_STAGE_OPTIONS
    limits: RunLimits = NO_LIMITS
    retries: RetryPolicy = NO_RETRIES
    verifies: Rev | None = None
    """The experiment that is repeated; what comes of it is compared, and is no experiment."""
    place: QueuePlace = ANYWHERE
    """Where its entries stand at first; where they are now is theirs."""
    after: tuple[Dependency, ...] = ()
    """What has to end first."""
    max_failures: int | None = None
    """So many points that fail end those that still wait."""
    engine: str = LOCAL
    """Who executes it (`dispatch.engine`)."""
    engine_queue: str | None = None
    """Which of the engine's queues."""
    pushes_data: bool = False
    """Whether outputs go to the DVC remote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """One point of a submission, before it has an id."""

    name: str
    stash_rev: Rev
    params: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt: who executes it and where its output and outcome are written."""

    id: RunId
    attempt: int
    token: str
    worker: str
    pid: int
    start_ticks: int
    boot_id: str
    log: str
    record: str
    worktree: str
    cancel_reason: str | None
    cancel_at: float | None
    started_at: float | None
    ended_at: float | None
    progress: RunProgress | None = None
    """How far it was when it ended."""
    cancel_signal: int | None = None
    """With which signal its end is wanted."""
    frozen_at: float | None = None
    """Since when it is to stand still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unnoted:
    """The context of a run's result, and the commit on which it is to be noted."""

    run: RunId
    git_directory: str
    rev: Rev
    context: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How one run of an entry went: its log, when its first stage began, and when and how it ended if it has."""

    number: int
    log: str
    started_at: float | None
    ended_at: float | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """An entry whose newest run has no result: it goes on (no `outcome`; its progress is not stored yet), or ended otherwise."""

    entry: EntryId
    run: RunId
    name: str
    params: Mapping[str, object]
    outcome: Outcome | None
    at: float
    """When it ended; before that, when it was claimed or submitted."""
    progress: RunProgress | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the queue with its submission and the run of its present attempt, once there is one."""

    id: EntryId
    submission_id: int
    name: str
    stash_rev: Rev
    params: Mapping[str, object]
    attempt: int
    state: EntryState
    outcome: Outcome | None
    ended_at: float | None
    submission: Submission
    run: Run | None
    tries: Tries = NOT_TRIED
    not_before: float | None = None
    """Before which it is not run; None is no such time, or one that has come."""
    hold_reason: str | None = None
    """Why it is held, where nobody asked for that."""
    resumes: RunId | None = None
    """The run in whose kept worktree the present attempt goes on."""
    place: QueuePlace = ANYWHERE
    """Where it stands in the queue, but for its time, which is `not_before`."""
    waits_for: tuple[EntryId, ...] = ()
    """The entries that have to end first, and have not."""
    is_at_once: bool = False
    """Whether it waits for no slot, and takes none."""
    earlier_outcome: Outcome | None = None
    """How the attempt before this one ended, if it ran."""

    @property
    def retries_left(self) -> int:
        """Count how often it may still be run again by itself."""
        return max(0, self.submission.retries.retries - self.tries.retries_used)

    @property
    def experiment_rev(self) -> Rev | None:
        """Give the result's commit, if there is one."""
        return self.outcome.rev if isinstance(self.outcome, Succeeded) else None


def outcome_to_json(outcome: Outcome) -> str:
    """Give the text an outcome is stored as."""
    return json.dumps(to_map(outcome), sort_keys=True)


def context_to_json(context: Context) -> str:
    """Give the text a context is stored as."""
    return json.dumps(to_map(context))


def outcome_from_json(text: str) -> Outcome:
    """Read a stored outcome."""
    value: Mapping[str, object] = json.loads(text)
    for outcome_type in OUTCOMES:
        if outcome_type.kind == value.get("kind"):
            return from_map(outcome_type, value)
    raise ValueError(f"no outcome of kind {value.get('kind')!r}")
