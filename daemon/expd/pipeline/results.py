"""Which files hold the parameters, metrics and plots of an experiment (dvc/repo/params, metrics, plots).

Promise: pure over the text of dvc.yaml and dvc.lock, because the table of results is made from Git objects, without a
worktree. Paths are relative to the root.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from expd.pipeline.config import ParsingSettings
from expd.pipeline.dvcyaml import parse_pipeline
from expd.pipeline.locations import is_within, locate, relative
from expd.pipeline.lockentry import LockEntry
from expd.pipeline.lockfile import parse_lock
from expd.pipeline.model import (
    DEFAULT_PARAMS_FILE,
    LOCK_FILE,
    Fingerprint,
    Output,
    OutputKind,
    Pipeline,
    PipelineError,
    Stage,
)
from expd.pipeline.params import parse_params
from expd.pipeline.stages import StageFile, plot_properties

_PIPELINES_REMEMBERED = 32
"""A project has one or a few, which an experiment seldom changes."""
# Any absolute path will do: what is outside the root is left out, and nothing is opened.
_ROOT = "/project"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """A metrics or plots file. With a fingerprint its content is in the cache, without in Git.

    `stage` is empty for a file that only the top level of dvc.yaml lists.
    """

    path: str
    fingerprint: Fingerprint | None = None
    stage: str = ""
    properties: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamsFile:
    """A parameter file and the dotted keys that count; none means all of it."""

    path: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFact:
    """A dependency or output of a stage as dvc.lock has it; without a fingerprint it was never recorded.

    DVC's table shows plain outputs only; `kind` tells them from metrics and plots.
    """

    path: str
    stage: str
    fingerprint: Fingerprint | None
    cached: bool = False
    kind: OutputKind = "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFiles:
    """Everything the table of results is made from. `variables` are values taken by interpolation: file → key → value."""

    params: tuple[ParamsFile, ...] = ()
    metrics: tuple[ResultFile, ...] = ()
    plots: tuple[ResultFile, ...] = ()
    deps: tuple[PathFact, ...] = ()
    outs: tuple[PathFact, ...] = ()
    variables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def _nothing(path: str) -> str | None:
    """The reader of a caller who has no other files."""
    del path
    return None


def result_files(
    dvcyaml_text: str,
    lock_text: str = "",
    *,
    dvcyaml: str = "dvc.yaml",
    read: Callable[[str], str | None] = _nothing,
    parsing: ParsingSettings | None = None,
) -> ResultFiles:
    """The result files of one dvc.yaml or expd.toml, which lies at `dvcyaml`.

    `read` gives the text of another file by its path from the root, or None: what interpolation needs. PipelineError
    says what is wrong with either text.
    """

    def read_location(location: str) -> str | None:
        return read(relative(location, _ROOT)) if is_within(location, _ROOT) else None

    if parsing is None and not _takes_values(dvcyaml_text):
        pipeline = _parse_alone(dvcyaml_text, dvcyaml)
        _check_values(posixpath.join(posixpath.dirname(dvcyaml), DEFAULT_PARAMS_FILE), read)
    else:
        file = StageFile(path=dvcyaml, root=_ROOT)
        pipeline = parse_pipeline(dvcyaml_text, file, parsing or ParsingSettings(), read_location)
    if pipeline is None:
        return ResultFiles()
    lock = posixpath.join(posixpath.dirname(dvcyaml), LOCK_FILE)
    return collect_results([pipeline], {dvcyaml: parse_lock(lock_text, lock)}, _ROOT)


def _takes_values(text: str) -> bool:
    """Whether what a dvc.yaml says may depend on another file: by an interpolation, or by naming files of values."""
    return "${" in text or "vars" in text


def _check_values(path: str, read: Callable[[str], str | None]) -> None:
    """Refuse a params.yaml that gives no values, as it is refused where one is taken from it."""
    text = read(path)
    if text is not None and not isinstance(parse_params(text, path), Mapping):
        raise PipelineError(path=path, expected="a mapping at the top")


@lru_cache(maxsize=_PIPELINES_REMEMBERED)
def _parse_alone(text: str, path: str) -> Pipeline | None:
    """The pipeline of a text that takes no values: the same for every experiment that has it."""
    return parse_pipeline(text, StageFile(path=path, root=_ROOT), ParsingSettings(), _nothing)


def collect_results(
    pipelines: Sequence[Pipeline], locks: Mapping[str, Mapping[str, LockEntry]], root: str
) -> ResultFiles:
    """The result files of several dvc.yaml; `locks` has the entries of each by its path."""
    collector = _Collector(locks, root)
    stages = [stage for pipeline in pipelines for stage in pipeline.stages]
    return ResultFiles(
        params=tuple(collector.params(pipelines, stages)),
        metrics=tuple(collector.metrics(pipelines, stages)),
        plots=tuple(collector.plots(pipelines, stages)),
        deps=tuple(fact for stage in stages for fact in collector.deps(stage)),
        outs=tuple(fact for stage in stages for fact in collector.outs(stage)),
        variables=_merge_variables(stages),
    )


class _Collector:
    """Collects from pipelines whose locations are below one root."""

    def __init__(self, locks: Mapping[str, Mapping[str, LockEntry]], root: str) -> None:
        self._locks = locks
        self._root = root

    def _fingerprint(self, stage: Stage, path: str, *, of_output: bool = True) -> Fingerprint | None:
        entry = self._locks.get(stage.dvcyaml, {}).get(stage.name)
        if entry is None:
            return None
        return (entry.outs if of_output else entry.deps).get(path)

    def params(self, pipelines: Sequence[Pipeline], stages: Sequence[Stage]) -> Iterator[ParamsFile]:
        """Files with the keys that stages depend on; listed whole anywhere, a file counts whole."""
        listed = [(relative(dep.location, self._root), dep.keys) for stage in stages for dep in stage.params]
        listed += [(path, ()) for pipeline in pipelines for path in self._top_level(pipeline, pipeline.params)]
        whole = {path for path, keys in listed if not keys}
        merged: dict[str, list[str]] = {}
        for path, keys in listed:
            merged.setdefault(path, []).extend(() if path in whole else keys)
        for path, keys_of_file in merged.items():
            yield ParamsFile(path=path, keys=tuple(dict.fromkeys(keys_of_file)))

    def metrics(self, pipelines: Sequence[Pipeline], stages: Sequence[Stage]) -> Iterable[ResultFile]:
        """Metric outputs, then the files that top levels list."""
        found = {file.path: file for file in self._outputs(stages, "metric")}
        for pipeline in pipelines:
            for path in self._top_level(pipeline, pipeline.metrics):
                found.setdefault(path, self._listed(path, stages))
        return found.values()

    def plots(self, pipelines: Sequence[Pipeline], stages: Sequence[Stage]) -> Iterable[ResultFile]:
        """Plot outputs, then the data of the plots that top levels define."""
        found = {file.path: file for file in self._outputs(stages, "plot")}
        for pipeline in pipelines:
            sources = [source for plot in pipeline.plots for source in plot.sources()]
            for path in self._top_level(pipeline, sources):
                found.setdefault(path, self._listed(path, stages))
        return found.values()

    def _outputs(self, stages: Sequence[Stage], kind: str) -> Iterator[ResultFile]:
        for stage in stages:
            for out in stage.outs:
                if out.kind == kind:
                    yield self._of_output(stage, out)

    def _of_output(self, stage: Stage, out: Output) -> ResultFile:
        return ResultFile(
            path=relative(out.location, self._root),
            fingerprint=self._fingerprint(stage, out.path) if out.cache else None,
            stage=stage.address,
            properties=plot_properties(out) if out.kind == "plot" else {},
        )

    def _listed(self, path: str, stages: Sequence[Stage]) -> ResultFile:
        """A file that a top level lists: an output of some stage, or a file in Git."""
        location = locate(self._root, path)
        for stage in stages:
            for out in stage.outs:
                if out.location == location:
                    return self._of_output(stage, out)
        return ResultFile(path=path)

    def _top_level(self, pipeline: Pipeline, paths: Iterable[str]) -> Iterator[str]:
        directory = posixpath.dirname(pipeline.dvcyaml)
        return (posixpath.normpath(posixpath.join(directory, path)) for path in paths)

    def deps(self, stage: Stage) -> Iterator[PathFact]:
        """The dependencies of a stage."""
        for dep in stage.deps:
            fingerprint = self._fingerprint(stage, dep.path, of_output=False)
            yield PathFact(path=relative(dep.location, self._root), stage=stage.address, fingerprint=fingerprint)

    def outs(self, stage: Stage) -> Iterator[PathFact]:
        """The outputs of a stage, metrics and plots among them."""
        for out in stage.outs:
            yield PathFact(
                path=relative(out.location, self._root),
                stage=stage.address,
                fingerprint=self._fingerprint(stage, out.path),
                cached=out.cache,
                kind=out.kind,
            )


def _merge_variables(stages: Sequence[Stage]) -> dict[str, dict[str, object]]:
    merged: dict[str, dict[str, object]] = {}
    for stage in stages:
        for file, values in stage.variables.items():
            if posixpath.basename(file) != DEFAULT_PARAMS_FILE or posixpath.dirname(file):
                merged.setdefault(file, {}).update(values)
    return merged
