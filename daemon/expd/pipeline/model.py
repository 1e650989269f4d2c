"""What a pipeline is: stages with what they read and write, and the errors that say why one can't be used.

Promise: plain frozen values, no file is read here. Every path is kept twice: as it is written (that is what dvc.lock
repeats) and as an absolute, normalised location (that is what is compared and opened).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

PROJECT_FILE = "dvc.yaml"
TOML_FILE = "expd.toml"
PIPELINE_FILES = (PROJECT_FILE, TOML_FILE)
"""What may hold the pipeline of a directory; only one of them does."""
LOCK_FILE = "dvc.lock"
DATA_FILE_SUFFIX = ".dvc"
DEFAULT_PARAMS_FILE = "params.yaml"
COMMAND_STAGE = "command"
"""The stage that a plain command is."""

OutputKind: TypeAlias = Literal["out", "metric", "plot"]
Commands: TypeAlias = str | tuple[str, ...]


class PipelineError(Exception):
    """Why a pipeline can't be read, ordered, run or recorded, as data from which the client makes its sentence.

    `path` is the file in question, `line` counts from one, `expected` is a clause ("a string", "no cycle"), `hint` says
    what to do next and may be empty, `stages` are the addresses involved.
    """

    def __init__(
        self, *, path: str, expected: str, line: int | None = None, hint: str = "", stages: Sequence[str] = ()
    ) -> None:
        self.path = path
        self.expected = expected
        self.line = line
        self.hint = hint
        self.stages = tuple(stages)
        place = path if line is None else f"{path}:{line}"
        super().__init__(f"{place}: expected {expected}" + (f"; {hint}" if hint else ""))


class GraphError(PipelineError):
    """A cycle, an output written twice, or one output inside another; `stages` names those involved."""


class TargetError(PipelineError):
    """A target that names no stage and no file of stages."""


class MissingDependencyError(PipelineError):
    """A dependency, a parameter file or a parameter that does not exist."""


class MissingOutputError(PipelineError):
    """A stage ended well and did not write what it declares."""


class MissingObjectError(PipelineError):
    """An object that is needed is not in the cache, or no longer holds what its name says."""


class ChangedWhileReadError(PipelineError):
    """A file changed between being hashed and being stored; nothing of it was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What a file or directory holds: `md5` (with `.dir` for a directory), bytes, number of files, executable bit.

    `legacy` marks DVC 2 hashes (line endings of text files folded), which live elsewhere in the cache. `stamp` is the
    ctime, in nanoseconds, that the file had when it was hashed; it takes no part in comparisons.
    """

    md5: str
    size: int | None = None
    nfiles: int | None = None
    isexec: bool = False
    legacy: bool = False
    stamp: int | None = field(default=None, compare=False, repr=False)

    @property
    def is_directory(self) -> bool:
        """Whether this is the hash of a directory's manifest."""
        return self.md5.endswith(".dir")

    def same_content(self, other: "Fingerprint | None") -> bool:
        """Whether both name the same content; size and mode take no part, as in DVC."""
        return other is not None and (self.md5, self.legacy) == (other.md5, other.legacy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One declared output. `flags` are the annotations and plot properties, kept as they were written."""

    path: str
    location: str
    kind: OutputKind = "out"
    cache: bool = True
    persist: bool = False
    flags: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One declared dependency: a file or a directory."""

    path: str
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamsDependency:
    """Parameters a stage depends on; no keys means the whole file."""

    path: str
    location: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage, resolved.

    `dvcyaml`, which may be an expd.toml, is relative to the project's root; `directory` is where that file lies and `wdir` where the commands run,
    both absolute. `commands` keeps the form it was written in, because dvc.lock does: text or a list.
    `variables` are the values that interpolation took from files: file → key → value.
    """

    name: str
    dvcyaml: str
    directory: str
    wdir: str
    commands: Commands
    deps: tuple[Dependency, ...] = ()
    params: tuple[ParamsDependency, ...] = ()
    outs: tuple[Output, ...] = ()
    frozen: bool = False
    always_changed: bool = False
    description: str = ""
    variables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """What names this stage from the project's root: `train`, or `sub/dvc.yaml:train`."""
        return self.name if self.dvcyaml in PIPELINE_FILES else f"{self.dvcyaml}:{self.name}"

    @property
    def reads(self) -> "tuple[Dependency | ParamsDependency, ...]":
        """Everything it reads: dependencies first, then parameter files, as DVC lists them."""
        return (*self.deps, *self.params)

    @property
    def is_callback(self) -> bool:
        """Whether it declares neither dependencies nor outputs, and therefore always runs."""
        return not (self.deps or self.params or self.outs)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A `.dvc` file: data that is tracked, not made. `recorded` is what it says each output holds."""

    path: str
    wdir: str
    outs: tuple[Output, ...]
    recorded: Mapping[str, Fingerprint]
    files: Mapping[str, tuple[tuple[str, Fingerprint], ...]] = field(default_factory=dict)
    deps: tuple[Dependency, ...] = ()
    frozen: bool = False
    is_import: bool = False
    commands: Commands | None = None

    @property
    def address(self) -> str:
        """What names it from the project's root: its own path."""
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A top-level plot: a file, or an id with its properties, from which the data files follow."""

    id: str
    properties: Mapping[str, object] | None = None

    def sources(self) -> tuple[str, ...]:
        """The files the plot is drawn from, as written."""
        axes = [(self.properties or {}).get(axis) for axis in ("y", "x")]
        files = tuple(str(file) for axis in axes if isinstance(axis, Mapping) for file in axis)
        return files if isinstance(axes[0], Mapping) else (self.id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One dvc.yaml: its stages in the order of the file, and what its top level lists, as written."""

    dvcyaml: str
    stages: tuple[Stage, ...] = ()
    params: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    artifacts: Mapping[str, object] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
