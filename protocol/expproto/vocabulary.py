"""The words of the project as types; their docstrings are the glossary.

experiment  a named result: a commit on top of a baseline, at refs/exps/<2>/<38>/<name>
baseline    the commit an experiment starts from
entry       one line of the queue: a stash commit, a name, a command or pipeline
run         one attempt to execute an entry; it has a log and one outcome
outcome     how a run ended
worker      one slot of the pool and the process that occupies it
worktree    the private checkout a run uses; the workspace is the user's own
"""

from dataclasses import dataclass
from enum import StrEnum
from errno import ENOENT
from typing import NewType

EntryId = NewType("EntryId", int)
"""A small integer, never used twice."""
RunId = NewType("RunId", int)
"""One attempt; grows over all entries."""
Rev = NewType("Rev", str)
"""A full object id: 40 hexadecimal digits."""


class EntryState(StrEnum):
    """Where an entry is."""

    HELD = "held"
    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    COLLECTING = "collecting"
    DONE = "done"


class Ending(StrEnum):
    """How a daemon ends."""

    LEAVE = "leave"
    """At once: what runs goes on under its worker, and the next daemon adopts it."""
    DRAIN = "drain"
    """When what runs has ended; nothing more is begun."""
    NOW = "now"
    """When what runs has been cancelled."""


class Mode(StrEnum):
    """Where an entry runs, and when. Preparation is the same in all of them."""

    QUEUE = "queue"
    """In a private worktree, when its turn comes."""
    TEMP = "temp"
    """In a private worktree, at once."""
    WORKSPACE = "workspace"
    """In the workspace it was captured from, at once."""


class Phase(StrEnum):
    """What a run is about."""

    PREPARING = "preparing"
    """Making a place hold what was submitted."""
    STAGE = "stage"
    """Going through the stages."""
    COLLECTING = "collecting"
    """Making an experiment of what they left."""


class Limit(StrEnum):
    """What a run may use up."""

    TIME = "time"
    """Time, from its first stage on."""
    STALL = "stall"
    """Time in which its commands write nothing and use no processor."""


ACTIVE_STATES = frozenset({EntryState.PREPARING, EntryState.RUNNING, EntryState.COLLECTING})
"""States in which a run exists that has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The result is an experiment."""

    kind = "succeeded"
    rev: Rev


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A command of `stage` ended with `exit_code`."""

    kind = "failed"
    stage: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """A command of `stage` was ended by `signal`, and not by us."""

    kind = "killed"
    stage: str
    signal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfMemory:
    """Memory had run out for a command of `stage`; `evidence` is `cgroup`, `kernel_log` or `watched`.

    The kernel ended it, as the control group counted or the kernel's log says; or its worker, which saw it use more than its
    limit. Where none of them says so, the outcome is Killed. `limit_bytes` is the limit of the run, if it has one, and
    `peak_bytes` what it used at most, if that is known.
    """

    kind = "out_of_memory"
    stage: str
    evidence: str
    limit_bytes: int | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """A command of `stage` could not be started: `errno` (errno(3)) is what the system says of `path`.

    `path` is the program, or with `is_directory` the directory in which it was to start.
    """

    kind = "not_started"
    stage: str
    errno: int
    path: str
    is_directory: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Somebody asked for the end: `reason` says who or what for, `at` when (seconds since the epoch, UTC)."""

    kind = "cancelled"
    reason: str
    at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """The run reached its `limit` of `limit_seconds` in `stage`, `seconds` after its first stage began."""

    kind = "timed_out"
    limit: Limit
    limit_seconds: float
    stage: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The run could not be prepared, or its results not be collected; `reason` is a sentence."""

    kind = "refused"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The run vanished with its worker; `reason` says how that was noticed. Explained is what was none of its doing."""

    kind = "lost"
    reason: str
    is_explained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """It never ran, since an entry that it waits for ended otherwise than it was to; `reason` says which."""

    kind = "skipped"
    reason: str


Outcome = Succeeded | Failed | Killed | OutOfMemory | NotStarted | Cancelled | TimedOut | Refused | Lost | Skipped
OUTCOMES: tuple[type[Outcome], ...] = (
    Succeeded, Failed, Killed, OutOfMemory, NotStarted, Cancelled, TimedOut, Refused, Lost, Skipped,
)  # fmt: skip

EXIT_SUCCEEDED, EXIT_REFUSED, EXIT_LOST, EXIT_SKIPPED, EXIT_TIMED_OUT, EXIT_CANCELLED = 0, 120, 121, 122, 124, 125
EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_BY_SIGNAL, EXIT_OUT_OF_MEMORY = 126, 127, 128, 137


def exit_code_of(outcome: Outcome) -> int:
    """Map an outcome to the exit code of `follow` and `wait`, as documented in docs/exit-codes.md.

    A failed command's own code is passed on; death by signal is 128 + its number, a command that is not there 127, one
    that can't be started 126, as shells have it.
    """
    match outcome:
        case Succeeded():
            return EXIT_SUCCEEDED
        case Failed(exit_code=code):
            return code
        case Killed(signal=number):
            return EXIT_BY_SIGNAL + number
        case OutOfMemory():
            return EXIT_OUT_OF_MEMORY
        case NotStarted(errno=number, is_directory=is_directory):
            return EXIT_NOT_FOUND if number == ENOENT and not is_directory else EXIT_NOT_EXECUTABLE
        case Cancelled():
            return EXIT_CANCELLED
        case TimedOut():
            return EXIT_TIMED_OUT
        case Refused():
            return EXIT_REFUSED
        case Skipped():
            return EXIT_SKIPPED
    _: Lost = outcome  # a new outcome without a code of its own is a type error here
    return EXIT_LOST
