"""In what a run took place, as a versioned record: what is needed to believe a result, and to have it again.

Names of environment variables, never their values. `CONTEXT_VERSION` rises when a field is removed or means something
else; fields may be added.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from expproto.vocabulary import Rev

CONTEXT_VERSION = 1
CONTEXT_BYTES_MAX = 1024 * 1024
"""A packed context: a thousand packages and as many stages take a fifth of it, and it shares a frame with an outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """The `python` of the run's PATH: `packages` are `name==version`, sorted; `packages_hash` is of all of them.

    `path` is as PATH has it, not what it may link to. `version` is None where it could not be found out.
    """

    kind = "interpreter"
    path: str
    version: str | None
    packages: tuple[str, ...]
    packages_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One graphics processor, in its driver's words."""

    kind = "gpu"
    name: str
    uuid: str | None
    memory_bytes: int | None
    driver: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where a run took place; `cpu_count` are those the worker may use."""

    kind = "machine"
    hostname: str
    platform: str
    kernel: str
    architecture: str
    cpu_model: str
    cpu_count: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What processes took, as wait4(2) has it: those that have ended, with what they had waited for.

    `rss_bytes_max` is the largest of them. Linux carries the peak of whoever forks over exec(2), so that nothing below
    the worker's own size (some 60 MB) is ever seen.
    """

    kind = "usage"
    user_seconds: float
    system_seconds: float
    rss_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageContext:
    """One stage: what became of it (`ran`, `skipped`, `restored`, `frozen`), and what it took.

    `command_hash` tells whether an earlier stage of the name ran the same command. `exit_code` is None if no command
    ended: skipped, or cancelled; negative is the signal it died of. `command` is the last one started. `oom_kills` are the
    processes, anybody's, that the machine ended for lack of memory meanwhile.
    """

    kind = "stage_context"
    name: str
    fate: str
    command_hash: str | None
    started_at: float
    seconds: float
    exit_code: int | None
    usage: Usage | None
    command: str | None = None
    oom_kills: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The execution context of one run, bound to its experiment. Times are seconds since the epoch, UTC."""

    kind = "context"
    version: int
    name: str
    attempt: int
    baseline_rev: Rev
    stash_rev: Rev
    command: tuple[str, ...] | None
    targets: tuple[str, ...]
    overrides: Mapping[str, object]
    worker_version: str
    daemon_version: str
    interpreter: Interpreter | None
    machine: Machine
    environment: tuple[str, ...]
    started_at: float
    ended_at: float
    seconds: float
    usage: Usage
    stages: tuple[StageContext, ...]
