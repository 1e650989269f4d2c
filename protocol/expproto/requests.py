"""What a client asks for: imperatives, the verbs of the command line."""

from dataclasses import dataclass

from expproto.limits import NO_LIMITS, RunLimits
from expproto.place import ANYWHERE, QueuePlace
from expproto.retries import NO_RETRIES, RetryPolicy
from expproto.stage_options import DEFAULT_STAGE_OPTIONS, StageOptions
from expproto.steering import AddGroup, EditEntries, Hold, Move, Pause, RemoveGroup, Resume, RunNow, SetJobs
from expproto.vocabulary import Ending, Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a command reads and makes, as `dvc stage add` has it: paths relative to `cwd`; `params` are `[file:]key,key`.

    What `outs` and `plots` name goes to the cache, what the others name to Git.
    """

    kind = "declared"
    deps: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    outs_no_cache: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    plots_no_cache: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Freeze the workspace at `cwd` with each point of the overrides, and queue it.

    `request_id` is made by the client; asking again with the same one gives the same entries, once.
    `points` is a file of rows of overrides (CSV or JSON lines) that are combined with `overrides`; `sample` takes so many
    of all, chosen by `seed`. With `preview` nothing is queued; `on_hold` entries wait for their release. `environment`
    is what the run's commands get, as the bytes of environ(7); `umask` likewise. `include` names new files that are captured
    although they look like secrets; `copy_paths` what is copied into the worktree without being captured. Paths are
    relative to `cwd`. With `no_hydra` params.yaml is edited in place, also where it would be composed. `declared` makes
    the command a stage. A sweep needs the `mode` "queue". `stage_options` say how the run goes through a pipeline; a
    `command` that is no stage has none. `limits` are what each run may use up; `retries` say
    when one that did not succeed is followed by another, which nothing in the workspace is; `place` is where it stands in the
    queue; once `max_failures` points have failed, those that still wait are cancelled. `source` names a commit, an experiment or
    an entry that is run instead of the workspace, of which nothing is read then. `engine` is who executes it: "local", or
    "celery" with a queue behind a colon if need be; of the variables only those named in `travelling`, or allowed by the
    daemon's settings, go to another host. `push_data` says whether outputs go to the DVC remote then (None: if there is one).
    """

    kind = "submit"
    request_id: str
    cwd: str
    overrides: tuple[str, ...] = ()
    name: str | None = None
    message: str | None = None
    force: bool = False
    command: tuple[str, ...] | None = None
    targets: tuple[str, ...] = ()
    environment: tuple[tuple[bytes, bytes], ...] = ()
    umask: int = 0o022
    points: str | None = None
    sample: int | None = None
    seed: int = 0
    preview: bool = False
    on_hold: bool = False
    include: tuple[str, ...] = ()
    copy_paths: tuple[str, ...] = ()
    no_hydra: bool = False
    declared: Declared | None = None
    mode: Mode = Mode.QUEUE
    stage_options: StageOptions = DEFAULT_STAGE_OPTIONS
    limits: RunLimits = NO_LIMITS
    retries: RetryPolicy = NO_RETRIES
    place: QueuePlace = ANYWHERE
    max_failures: int | None = None
    source: str | None = None
    engine: str = "local"
    travelling: tuple[str, ...] = ()
    push_data: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explain:
    """Tell what a submission at `cwd` would take along and what it would leave out; nothing is queued.

    Neither overrides nor the pipeline are looked at. The fields are those of Submit.
    """

    kind = "explain"
    cwd: str
    command: tuple[str, ...] | None = None
    include: tuple[str, ...] = ()
    copy_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """List entries: those named (id, name or rev; a name means one of the repository at `cwd`), or all.

    With `most` so many of all: what runs, what is next, what has just ended.
    """

    kind = "status"
    cwd: str
    entries: tuple[str, ...] = ()
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """List the experiments of the HEAD of the repository at `cwd`."""

    kind = "show"
    cwd: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspect:
    """Tell all of one experiment: an entry's id, a name or a rev."""

    kind = "inspect"
    cwd: str
    experiment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Tell how one entry (id, name or rev) came to be as it is, or how an earlier `attempt` of it went."""

    kind = "why"
    cwd: str
    entry: str
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Get:
    """Write files of an experiment (all it made, or `paths`) below `directory`, from Git or the cache."""

    kind = "get"
    cwd: str
    experiment: str
    paths: tuple[str, ...]
    directory: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowTarget:
    """One log to follow: from byte `offset` of it and place `marks` of its marks, or from `lines` lines before its end.

    `entry@2` is its second attempt alone. Otherwise it is followed from `attempt` on (None: the present one) to the end of
    the last; all other fields are of the first of them.
    """

    kind = "follow_target"
    entry: str
    offset: int = 0
    lines: int | None = None
    marks: int = 0
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """Stream the logs of entries until each has ended; `raw` is without marks, `progress` also tells how far each run is.

    A client that `reads_logs` is told where those lie that are complete: it is on this host, and of the daemon's user.
    """

    kind = "follow"
    cwd: str
    targets: tuple[FollowTarget, ...]
    raw: bool = False
    progress: bool = False
    reads_logs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Answer when the entries named are done; with none named, when everything is, or with `until_idle` when nothing runs."""

    kind = "wait"
    cwd: str
    entries: tuple[str, ...] = ()
    until_idle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """End these entries, in whatever state they are.

    What runs gets `signal` (signal(7)) instead of SIGINT and SIGTERM, and after a grace SIGKILL; of runs on this host.
    """

    kind = "cancel"
    cwd: str
    entries: tuple[str, ...]
    reason: str = "cancelled by the user"
    signal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Let entries that are held run."""

    kind = "release"
    cwd: str
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Run entries that are done once more, as they were submitted; of a sweep those that did not succeed.

    With `failed` all of the repository at `cwd` that did not succeed; with `force` also what succeeded. `environment` is
    for an entry whose own is not kept any more, because it had succeeded. With `overrides` each is queued anew instead, from
    its stash commit with these parameters, as entries of their own, under a new `name` if there is one; the same
    `request_id` again gives the same. What `limits` has takes the place of what the entry had; not with overrides.
    """

    kind = "retry"
    cwd: str
    entries: tuple[str, ...] = ()
    failed: bool = False
    force: bool = False
    environment: tuple[tuple[bytes, bytes], ...] = ()
    overrides: tuple[str, ...] = ()
    name: str | None = None
    request_id: str = ""
    limits: RunLimits = NO_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRuns:
    """Let entries whose last run did not succeed go on in the worktree that it left; of a sweep those that ended so.

    With `force` also where somebody has changed that since. `environment` is for an entry whose own is not kept any more.
    """

    kind = "resume_runs"
    cwd: str
    entries: tuple[str, ...]
    force: bool = False
    environment: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """Run an experiment (an entry's id, a name or a rev) again from what was captured, and compare what came of it.

    The repetition is an entry that runs at once in a private worktree; the other fields are those of Submit.
    """

    kind = "verify"
    request_id: str
    cwd: str
    experiment: str
    environment: tuple[tuple[bytes, bytes], ...] = ()
    umask: int = 0o022


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Take entries that are done off the queue, with logs, environment and captured state; or all such at `cwd` (`done`).

    Experiments stay.
    """

    kind = "remove"
    cwd: str
    entries: tuple[str, ...] = ()
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Write an entry, or all of a sweep, to `file`: what a clone lacks that has `since` (the baseline if None)."""

    kind = "export"
    cwd: str
    entry: str
    file: str
    since: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Queue the entries of an export in the repository at `cwd`; the other fields are those of Submit."""

    kind = "import"
    request_id: str
    cwd: str
    file: str
    on_hold: bool = False
    environment: tuple[tuple[bytes, bytes], ...] = ()
    umask: int = 0o022


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """Give an entry, and its experiment if it has one, another name."""

    kind = "rename"
    cwd: str
    entry: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Bring the work tree at `cwd` back to what `entry` (an entry, or a stash commit's rev) was captured from.

    With `force` edits that nobody keeps are kept by a stash commit and overwritten. `umask` is for what is written.
    """

    kind = "restore"
    cwd: str
    entry: str
    force: bool = False
    umask: int = 0o022


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Look through the daemon's own state and the repository at `cwd`, if there is one; with `fix` mend what is safe to."""

    kind = "doctor"
    cwd: str
    fix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gc:
    """Remove what the rules of retention give up, in every repository that is known; with `dry_run` only tell."""

    kind = "gc"
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """List who executes entries, on which hosts, and what runs there."""

    kind = "engines"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskDaemon:
    """Ask who answers."""

    kind = "ask_daemon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End the daemon, in one of three ways. The reply comes before the end."""

    kind = "stop"
    ending: Ending = Ending.LEAVE


Request = (
    Submit
    | Explain
    | Status
    | Show
    | Inspect
    | Why
    | Get
    | Follow
    | Wait
    | Cancel
    | Release
    | Export
    | Import
    | Retry
    | ResumeRuns
    | Verify
    | Remove
    | Rename
    | Restore
    | Doctor
    | Gc
    | Hold
    | RunNow
    | EditEntries
    | Move
    | AddGroup
    | RemoveGroup
    | Pause
    | Resume
    | SetJobs
    | Engines
    | AskDaemon
    | Stop
)
