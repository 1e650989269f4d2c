"""What replies and events are made of: entries, experiments, files and differences, one record each."""

from collections.abc import Mapping
from dataclasses import dataclass

from expproto.place import DEFAULT_GROUP
from expproto.progress import RunProgress
from expproto.vocabulary import EntryId, EntryState, Mode, Outcome, Rev


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRecord:
    """What is known of one entry. Times are seconds since the epoch, UTC; `params` maps overridden keys to values.

    `waits_for` says why a queued or held entry does not run, `not_before` until when if it is its time; `log` is the path
    of the log of its present `attempt`. `retries_left` counts the attempts that may still follow by themselves, and
    `earlier_outcome` is how the attempt before this one ended, if it ran.
    """

    kind = "entry"
    id: EntryId
    submission: int
    name: str
    state: EntryState
    outcome: Outcome | None
    repository: str
    baseline_rev: Rev
    stash_rev: Rev
    params: Mapping[str, object]
    command: tuple[str, ...] | None
    experiment_rev: Rev | None
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    log: str | None
    waits_for: str | None
    stage: str | None = None
    mode: Mode = Mode.QUEUE
    attempt: int = 1
    progress: RunProgress | None = None
    retries_left: int = 0
    not_before: float | None = None
    earlier_outcome: Outcome | None = None
    engine: str = "local"
    host: str | None = None
    priority: int = 0
    group: str = DEFAULT_GROUP


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """One group of the pool: its slots, and how many runs of it are active and entries of it may start."""

    kind = "group"
    name: str
    jobs: int
    paused: bool
    running: int
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """How one attempt at an entry went: its log, when its first stage began, and when and how it ended if it has."""

    kind = "attempt"
    number: int
    log: str
    started_at: float | None
    ended_at: float | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRecord:
    """One experiment: parameters that differ from the baseline's, all its metrics, and its entry if the queue knows it.

    Keys are dotted; a key met in two files is prefixed by its file and a colon. `error` stands where a row can't be read.
    Without a result `rev` is None: a run that ended with `outcome`, or still goes on, with the metrics it last wrote.
    """

    kind = "experiment"
    name: str
    rev: Rev | None
    baseline_rev: Rev
    created_at: float
    params: Mapping[str, object]
    metrics: Mapping[str, object]
    entry: EntryId | None
    error: str | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """One file an experiment holds: where it lies (`git` or `cache`), its size in bytes, its hash and whose it is.

    `hash` is `md5:…` for what the DVC cache holds (with `.dir` for a directory) and `git:…` for a blob.
    """

    kind = "output_file"
    path: str
    role: str
    home: str
    size: int | None
    hash: str
    stage: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRecord:
    """One point of a preview: the name and the parameters its entry would have."""

    kind = "point"
    name: str
    params: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRecord:
    """What becomes of one path: `changed`, `new`, `deleted`, `data` and `submodule` are captured, `copied` goes along beside it.

    `secret`, `repository`, `pointer` and `ignored` say why it is left out. `size` is in bytes.
    """

    kind = "capture_record"
    path: str
    fate: str
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutFile:
    """What was not captured: `reason` is `secret` (its name says so), `repository` (another one holds it) or `pointer` (Git LFS has no content)."""

    kind = "left_out_file"
    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnkeptLimit:
    """A limit, `mem` or `cpus`, that the kernel of this host does not keep; `why` is a code: `no_groups`, `version_1`, `no_manager`, `not_delegated`."""

    kind = "unkept_limit"
    limit: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceRecord:
    """What is not equal: an `output` or a `file` by its hash, a `metric` by its value, an `error` of reading; nil is absent."""

    kind = "difference"
    what: str
    subject: str
    expected: str | None
    found: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRecord:
    """What an examination found: `code` says what, `subject` of which file, ref or entry, `data` what its sentence needs.

    One that is no problem is told all the same: it is how things are. `mendable` is what `fix` mends, `mended` what it has.
    `section` is `daemon`, `store`, `entries`, `refs`, `objects`, `locks`, `files`, `disk` or `service`.
    """

    kind = "finding"
    code: str
    section: str
    subject: str
    is_problem: bool
    data: Mapping[str, object]
    mendable: bool = False
    mended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageRecord:
    """What is given up, or was: `size` in bytes, `rule` is `age`, `count`, `size` or `unused`; `repository` is nil for the daemon's own.

    `what` is `entry`, `log`, `worktree`, `copy`, `restored`, `result`, `environment`, `leftover` or, of a ref on the
    hub of other hosts, `hub`.
    """

    kind = "garbage"
    what: str
    subject: str
    repository: str | None
    size: int
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOnHost:
    """What runs on a host: the `entry` it is a run of, nil if that is another daemon's, and the experiment's name."""

    kind = "run_on_host"
    entry: EntryId | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """A worker program: on which `host`, how many `slots` it has, which `queues` it serves (none: this host's), and what `runs`."""

    kind = "host_record"
    host: str
    slots: int
    queues: tuple[str, ...]
    runs: tuple[RunOnHost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecord:
    """An engine, the hosts that answered just now, how many entries are `queued` for it, and its `trouble` if it has any."""

    kind = "engine_record"
    name: str
    queued: int
    hosts: tuple[HostRecord, ...]
    trouble: str | None
