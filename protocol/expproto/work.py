"""What the daemon and its workers say: orders one way, reports the other, in no fixed turn."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from expproto.context import Context
from expproto.limits import LOG_BYTES_MAX, NO_LIMITS, RunLimits
from expproto.progress import RunProgress
from expproto.stage_options import DEFAULT_STAGE_OPTIONS, StageOptions
from expproto.vocabulary import EntryId, Outcome, Rev, RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """A worker says who it is: the token it was started with, its process, and the run it is in, if any, and whether that is frozen.

    `ended` are runs whose end it has not been told is on the daemon's disk. Sent after every connect, so that a daemon that was restarted adopts what still runs.
    """

    kind = "register"
    token: str
    pid: int
    start_ticks: int
    boot_id: str
    run: RunId | None
    run_token: str | None
    ended: tuple[RunId, ...] = ()
    frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """Run one entry. `run_token` fences the attempt: whatever is reported under another is not this run's.

    `root` and `directory` are the project's, relative to the worktree; `cache` is absolute; `record` is where the
    outcome is written before it is reported, `log` where output goes. `copies` is the hash of the listing of files that
    are copied into the worktree beside what was captured. With `as_stage` the command is the stage that `targets` names,
    in the dvc.yaml of what was captured. A run in the user's workspace has the workspace as its
    `worktree`, and in `captured_tree` what was captured there before the overrides, not earlier than `captured_at`.
    With `resumes` it goes on in the worktree that this earlier run of the entry left. `attempt`, `overrides` and `daemon_version` are for the context. Of a log beyond `log_bytes_max` the middle is cut out.
    """

    kind = "execute"
    run: RunId
    run_token: str
    entry: EntryId
    name: str
    message: str | None
    git_directory: str
    worktree: str
    baseline_rev: Rev
    stash_rev: Rev
    root: str
    directory: str
    origin_root: str
    cache: str
    command: tuple[str, ...] | None
    targets: tuple[str, ...]
    force: bool
    environment: tuple[tuple[bytes, bytes], ...]
    umask: int
    log: str
    record: str
    grace_seconds: float
    kept_worktrees_max: int
    copies: str | None = None
    as_stage: bool = False
    captured_tree: Rev | None = None
    captured_at: float = 0.0
    attempt: int = 1
    overrides: Mapping[str, object] = field(default_factory=dict)
    daemon_version: str = ""
    stage_options: StageOptions = DEFAULT_STAGE_OPTIONS
    limits: RunLimits = NO_LIMITS
    resumes: RunId | None = None
    log_bytes_max: int = LOG_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRun:
    """End the run and everything it started; it was asked for `at` that time, and with this `signal` first if one is named."""

    kind = "cancel_run"
    run: RunId
    reason: str
    at: float | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeRun:
    """Let everything that the run has started stand still."""

    kind = "freeze_run"
    run: RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class ThawRun:
    """Let a frozen run go on."""

    kind = "thaw_run"
    run: RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """The outcome of this run is on the daemon's disk: the worker may forget it."""

    kind = "acknowledge"
    run: RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """End as soon as there is nothing to do."""

    kind = "leave"


Order = Execute | CancelRun | FreezeRun | ThawRun | Acknowledge | Leave


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted:
    """The first command of a stage is about to run; before the first one this also means: the worktree stands.

    Of stages side by side `stage` names all that run commands now, in the order of their start, joined by a comma and a blank.
    """

    kind = "stage_started"
    run: RunId
    run_token: str
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the run is, whenever that has changed, but not more often than a person could see."""

    kind = "progress"
    run: RunId
    run_token: str
    progress: RunProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """The commands are through; the result is being made."""

    kind = "collecting"
    run: RunId
    run_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """The run can't go on at the moment, but will: `what` is in the way, a full disk for instance; None: nothing any more."""

    kind = "obstacle"
    run: RunId
    run_token: str
    what: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The run is over. If it succeeded, the outcome's rev is the experiment commit, and the daemon sets its ref.

    The same record, packed, is what a worker leaves on disk before it reports. `context` is what the run took place in;
    None if that could not be told.
    """

    kind = "run_ended"
    run: RunId
    run_token: str
    outcome: Outcome
    ended_at: float
    context: Context | None = None
    progress: RunProgress | None = None


Report = Register | StageStarted | Progress | Collecting | Obstacle | RunEnded
