"""What a run takes, stage by stage: filled while it goes, read when it has ended. Several stages may go at once."""

import hashlib
import resource
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from expd.bell import Bell
from expd.linux.memory import MemoryWitness
from expproto.context import StageContext, Usage

_STAGES_MAX = 2000
"""Stages that are told of: the largest pipelines have a thousand."""
_HASH_CHARACTERS = 16
"""64 bits: nobody forges what only an estimate hangs on."""
_COMMAND_CHARACTERS_MAX = 2000
"""Of a command that is told: more is a program, and stands in the commit."""
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""How the end by SIGKILL shows: the command's own, or that of a child which its shell passes on."""
_KIB = 1024
"""What ru_maxrss counts in (getrusage(2))."""


def command_hash(commands: Iterable[str]) -> str:
    """Tell the commands of a stage from others: what took so long once takes about as long again."""
    return hashlib.sha256("\0".join(commands).encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_CHARACTERS]


@dataclass(slots=True)
class Taken:
    """What processes took that have ended."""

    user_seconds: float = 0.0
    system_seconds: float = 0.0
    rss_bytes_max: int = 0
    is_known: bool = False

    def add(self, usage: resource.struct_rusage) -> None:
        """Count a process that has ended, and what it had waited for."""
        self.user_seconds += usage.ru_utime
        self.system_seconds += usage.ru_stime
        self.rss_bytes_max = max(self.rss_bytes_max, usage.ru_maxrss * _KIB)
        self.is_known = True

    def usage(self) -> Usage:
        """Give what was counted."""
        return Usage(
            user_seconds=self.user_seconds, system_seconds=self.system_seconds, rss_bytes_max=self.rss_bytes_max
        )


@dataclass(slots=True)
class StageTimes:
    """One stage under way; `ended` closes it, and a stage that nobody closed ended with its run."""

    run: "Timings"
    name: str
    fate: str
    command_hash: str | None
    started_at: float = field(default_factory=time.time)
    taken: Taken = field(default_factory=Taken)
    exit_code: int | None = None
    command: str | None = None
    """The last one that was started."""
    memory_evidence: str | None = None
    """What shows that it ended for lack of memory: `cgroup` or `kernel_log`."""
    _oom_kills: int = 0
    _pid: int = 0
    _began: float = field(default_factory=time.monotonic)
    _seconds: float | None = None

    def started(self, pid: int) -> None:
        """Note that a process was started for this stage."""
        self._pid = pid
        self.run.started(pid, self)

    def reaped(self, pid: int, usage: resource.struct_rusage) -> None:
        """Count a process of the run that has ended."""
        self.run.reaped(pid, usage)

    def hear(self, witness: MemoryWitness) -> None:
        """Take down what the kernel says of memory; what it says about others is no evidence."""
        kills = witness.kills()
        self._oom_kills = kills.of_machine
        if self.exit_code in _KILLED and kills.of_cgroup > 0:
            self.memory_evidence = "cgroup"
        elif self.exit_code == -signal.SIGKILL and kills.of_machine > 0 and witness.log_names(self._pid):
            self.memory_evidence = "kernel_log"

    def ended(self) -> None:
        """Close the stage."""
        self._seconds = time.monotonic() - self._began
        self.run.bell.ring()

    @property
    def is_under_way(self) -> bool:
        """Tell whether nobody has closed it."""
        return self._seconds is None

    def context(self) -> StageContext:
        """Tell of the stage."""
        return StageContext(
            name=self.name,
            fate=self.fate,
            command_hash=self.command_hash,
            started_at=self.started_at,
            seconds=time.monotonic() - self._began if self._seconds is None else self._seconds,
            exit_code=self.exit_code,
            usage=self.taken.usage() if self.taken.is_known else None,
            command=None if self.command is None else self.command[:_COMMAND_CHARACTERS_MAX],
            oom_kills=self._oom_kills,
        )


class Timings:
    """What one run took; `bell` rings when a stage begins or ends. `total` is how many there are, if that is known; `done` ended well."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.total: int | None = None
        self.begun = self.done = 0
        self.started_at = time.time()
        self._began = time.monotonic()
        self._whole = Taken()
        self._stages: list[StageTimes] = []
        self._owners: dict[int, StageTimes] = {}

    def begin(self, name: str, fate: str, command_hash: str | None = None) -> StageTimes:
        """Begin a stage."""
        stage = StageTimes(run=self, name=name, fate=fate, command_hash=command_hash)
        self.begun += 1
        if len(self._stages) < _STAGES_MAX:
            self._stages.append(stage)
        self.bell.ring()
        return stage

    @property
    def under_way(self) -> list[StageTimes]:
        """List the stages under way, in the order in which they began."""
        return [stage for stage in self._stages if stage.is_under_way]

    def started(self, pid: int, stage: StageTimes) -> None:
        """Note which stage a process was started for."""
        self._owners[pid] = stage

    def reaped(self, pid: int, usage: resource.struct_rusage) -> None:
        """Count a child that has ended: one of a stage, or an orphan that we had adopted."""
        self._whole.add(usage)
        owner = self._owners.pop(pid, None)
        if owner is not None:
            owner.taken.add(usage)

    @property
    def newest_stage(self) -> str:
        """Give the name of the stage that began last; empty before the first."""
        return self._stages[-1].name if self._stages else ""

    @property
    def has_commands(self) -> bool:
        """Tell whether a command is under way."""
        return bool(self._owners)

    def newest(self, stage: str) -> StageTimes | None:
        """Give the newest stage of this name."""
        return next((times for times in reversed(self._stages) if times.name == stage), None)

    @property
    def seconds(self) -> float:
        """Give how long the run has taken by now."""
        return time.monotonic() - self._began

    def usage(self) -> Usage:
        """Give what all processes of the run took that have ended."""
        return self._whole.usage()

    def stages(self) -> tuple[StageContext, ...]:
        """Tell of all stages, in the order in which they began."""
        return tuple(stage.context() for stage in self._stages)
