"""What the daemon tells a client: events while a request is open, and the one reply that closes it."""

from collections.abc import Mapping
from dataclasses import dataclass

from expproto.context import Usage
from expproto.logs import Mark, Output, StoredOutput
from expproto.progress import RunProgress
from expproto.records import (
    AttemptRecord,
    CaptureRecord,
    DifferenceRecord,
    EngineRecord,
    EntryRecord,
    ExperimentRecord,
    FindingRecord,
    GarbageRecord,
    GroupRecord,
    LeftOutFile,
    OutputFile,
    PointRecord,
    UnkeptLimit,
)
from expproto.vocabulary import EntryId, Outcome, Phase, Rev

PAGE_ENTRIES = 200
"""Entries in one page: with long names and a dozen parameters each, about 200 kB, far below a frame."""
PAGE_FILES = 500
"""Files in one page: at the 4096 bytes a path can have, half a frame."""
DIFFERENCES_MAX = 200
"""Differences that one answer names: more than a person reads."""
LEFT_OUT_MAX = RESTORED_MAX = 200
"""Files left out, and of each kind that a restore names, in one answer: more than a person reads, far below a frame."""
ATTEMPTS_MAX = 100
"""Attempts that one answer tells of, the newest: more than a person reads."""
FINDINGS_MAX = 200
"""Findings that one answer names: more than a person reads."""
GARBAGE_MAX = 1000
"""Pieces of garbage that one answer names: with paths of 4096 bytes each, a few megabytes."""
TAIL_BYTES = 16 * 1024
"""Of a log, beside what else is told of a run: a few screens of text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPage:
    """Some entries, in the order of their ids; a reply follows when there are no more pages."""

    kind = "entry_page"
    entries: tuple[EntryRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentPage:
    """Some experiments, newest first; `Shown` follows when there are no more pages."""

    kind = "experiment_page"
    experiments: tuple[ExperimentRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPage:
    """Some points of a preview, in order; `Previewed` follows when there are no more pages."""

    kind = "point_page"
    points: tuple[PointRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePage:
    """Some paths; `Explained` follows when there are no more pages."""

    kind = "capture_page"
    files: tuple[CaptureRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryProgress:
    """How far a run is that is followed, whenever that has changed; once more before its end."""

    kind = "entry_progress"
    entry: EntryId
    progress: RunProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An entry is done and all its output has been sent."""

    kind = "ended"
    entry: EntryId
    name: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """An attempt at an entry is over, all its output has been sent, and another one follows: not before `not_before`.

    With a `hold_reason` it follows when the entry is released.
    """

    kind = "attempt_ended"
    entry: EntryId
    name: str
    attempt: int
    outcome: Outcome
    not_before: float | None
    hold_reason: str | None


Event = (
    EntryPage
    | ExperimentPage
    | PointPage
    | CapturePage
    | Output
    | StoredOutput
    | Mark
    | EntryProgress
    | AttemptEnded
    | Ended
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The entries of the pages before are on disk: answers Submit and Import.

    `left_out` names the first of the `left_out_count` files and directories that were not captured; asked again, nothing is
    captured again, and both are empty. `unkept` are limits of the submission that the kernel of this host does not keep.
    """

    kind = "submitted"
    submission: int
    count: int
    left_out: tuple[LeftOutFile, ...] = ()
    left_out_count: int = 0
    unkept: tuple[UnkeptLimit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Previewed:
    """The points of the pages before were all, and nothing was queued: answers a Submit that asked for a preview."""

    kind = "previewed"
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """How the repetition `entry` of an experiment ended, and the first of `count` differences: answers Verify."""

    kind = "verified"
    entry: EntryId
    name: str
    experiment_rev: Rev
    outcome: Outcome
    differences: tuple[DifferenceRecord, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesRemoved:
    """The entries of the pages before are in the queue no more: answers Remove. `problems` says what could not be deleted."""

    kind = "entries_removed"
    count: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesChanged:
    """The change is on disk; the pages before show the entries as they are now: answers Release, Retry, ResumeRuns, Rename, Hold, RunNow, Edit and Move."""

    kind = "entries_changed"
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The work tree `workspace` holds what was captured in `origin`; HEAD, at `head_rev`, was not moved.

    Files were `written`, `removed`, or are new since and were `left` alone: the first of so many each. `kept_rev` is
    a stash commit of what was there before, if anything would have been lost.
    """

    kind = "restored"
    entry: EntryId | None
    name: str
    workspace: str
    origin: str
    written: tuple[str, ...]
    written_count: int
    removed: tuple[str, ...]
    removed_count: int
    left: tuple[str, ...]
    left_count: int
    baseline_rev: Rev
    head_rev: Rev
    kept_rev: Rev | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The file is on disk, with `size` bytes and `count` entries."""

    kind = "exported"
    file: str
    size: int
    count: int
    baseline_rev: Rev


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The pages before were all: answers Explain."""

    kind = "explained"
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The pages before were all: answers Status. `trouble` says why nothing is started, where that is nobody's wish.

    `left_out` counts the entries beyond those asked for with `most`.
    """

    kind = "listed"
    count: int
    paused: bool
    trouble: str | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The pages before were all: answers Show. `baseline_metrics` are those of HEAD itself."""

    kind = "shown"
    baseline_rev: Rev
    baseline_name: str | None
    baseline_params: Mapping[str, object]
    baseline_metrics: Mapping[str, object]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """All of one experiment. `params` are all of them, `changed` those that differ from the baseline.

    `context` is the map form of `expproto.context.Context`, of this version or of another; None if none is known.
    """

    kind = "inspected"
    name: str
    rev: Rev | None
    baseline_rev: Rev
    params: Mapping[str, object]
    changed: Mapping[str, object]
    metrics: Mapping[str, object]
    outputs: tuple[OutputFile, ...]
    entry: EntryRecord | None
    context: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosed:
    """How an entry came to be as it is. `phase`, `stage` and `command` are those its run is in, or ended with.

    `attempts` are the newest of those that ran. `seconds` and `usage` are what an ended run took, `oom_kills` what the machine ended for lack of memory during the
    stage. `kept` is the directory in which lies what a run left that did not succeed, if it is there. `tail` are the
    last bytes of its log of `log_bytes`.
    """

    kind = "diagnosed"
    entry: EntryRecord
    phase: Phase | None
    stage: str | None
    command: str | None
    seconds: float | None
    usage: Usage | None
    oom_kills: int
    kept: str | None
    tail: bytes
    log_bytes: int
    attempts: tuple[AttemptRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """These paths, relative to `directory`, were written."""

    kind = "fetched"
    directory: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """Every log asked for has ended."""

    kind = "followed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """The entries of the pages before are done."""

    kind = "waited"
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAccepted:
    """The cancellation is on disk; the pages before show the entries as they are now."""

    kind = "cancel_accepted"
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """The first of `count` findings, problems before the rest; `repository` is the one looked at, nil if there was none."""

    kind = "examined"
    findings: tuple[FindingRecord, ...]
    count: int
    repository: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageCollected:
    """The first of `count` pieces of garbage with `size` bytes in all, removed unless it was a dry run; `problems` say what stays."""

    kind = "garbage_collected"
    garbage: tuple[GarbageRecord, ...]
    count: int
    size: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolShown:
    """The pool as it is now. `jobs` are those of the default group, `running` and `queued` of all. `trouble` says why nothing is started, where that is nobody's wish; so many runs are `frozen`."""

    kind = "pool_shown"
    jobs: int
    paused: bool
    running: int
    queued: int
    trouble: str | None = None
    groups: tuple[GroupRecord, ...] = ()
    frozen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginesShown:
    """The engines that are set up, that of this host first."""

    kind = "engines_shown"
    engines: tuple[EngineRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonShown:
    """Who answers. `trouble` says why nothing is started, where that is nobody's wish."""

    kind = "daemon_shown"
    pid: int
    version: str
    protocol: int
    socket: str
    state_directory: str
    started_at: float
    running: int
    queued: int
    jobs: int
    paused: bool
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """The daemon ends, with so many runs under way; the connection closes when it has."""

    kind = "stopping"
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The request was not carried out and nothing changed: a code of `errors`, and its data."""

    kind = "refusal"
    code: str
    data: Mapping[str, object]


Reply = (
    Submitted
    | Previewed
    | Verified
    | EntriesRemoved
    | EntriesChanged
    | Restored
    | Exported
    | Explained
    | Listed
    | Shown
    | Inspected
    | Diagnosed
    | Fetched
    | Followed
    | Waited
    | CancelAccepted
    | Examined
    | GarbageCollected
    | PoolShown
    | EnginesShown
    | DaemonShown
    | Stopping
    | Refusal
)
