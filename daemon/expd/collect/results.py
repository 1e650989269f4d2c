"""An experiment commit → its parameters, metrics and files, read from Git objects and the cache; no worktree needed.

Which files those are is what dvc.yaml says in that very commit; an experiment of a plain command has the conventional
ones. A commit never changes, so what was read of one may be kept for ever.
"""

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from expd.gitio.errors import GitDisturbed, GitFailed
from expd.gitio.repository import EMPTY_TREE, Repository
from expd.pipeline.cache import Cache
from expd.pipeline.datafiles import parse_data_file
from expd.pipeline.model import LOCK_FILE, PIPELINE_FILES, Fingerprint, PipelineError
from expd.pipeline.params import parse_params, select
from expd.pipeline.results import ParamsFile, PathFact, ResultFile, ResultFiles, result_files
from expproto.vocabulary import Rev

DEFAULT_PARAMS = "params.yaml"
METRICS_BY_CONVENTION = ("metrics.json", "metrics.yaml", "metrics.toml", "dvclive/metrics.json")
"""Read for experiments of a plain command, which declares nothing."""
METRICS_BYTES_MAX = 4 * 1024 * 1024
"""A metrics file is for people; a larger one is data, and would only fill the table's memory."""

_PIPELINE_NAMES = frozenset(PIPELINE_FILES)

_ROOT = "/project"
"""Stands for the project's root where only a commit is there."""

Facts = dict[tuple[str, str], object]
"""(file, dotted key) → value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPath:
    """One file or directory of an experiment, its path relative to the project's root.

    With a fingerprint it lies in the cache, else it is the Git blob `blob`.
    """

    path: str
    role: str
    stage: str | None
    fingerprint: Fingerprint | None
    blob: Rev | None
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What is known of one experiment; `error` says what could not be read of it. `paths` are read only where they are asked for."""

    params: Facts = field(default_factory=dict)
    metrics: Facts = field(default_factory=dict)
    paths: tuple[ResultPath, ...] = ()
    error: str | None = None
    committed_at: float = 0.0


class ResultReader:
    """Reads experiments of one project: `root` relative to the workspace ("." for itself).

    One reader reads many cheaply: what their trees have in common is looked through once.
    """

    def __init__(self, repository: Repository, root: str, cache: Cache) -> None:
        self._repository = repository
        self._prefix = "" if root == "." else f"{root}/"
        self._cache = cache

    def read(self, commit: Rev, baseline: Rev | None) -> Results:
        """Read one experiment, and list its files; what is broken in it is its `error`, and never another row's.

        Raises GitDisturbed.
        """
        return self._whole_or_broken(lambda: self._read(commit, baseline))

    def facts(self, commit: Rev) -> Results:
        """Read one experiment but for its `paths`. Raises GitDisturbed, and GitFailed for a commit that is not there."""
        committed_at = self._repository.committed_at(commit)
        found = self._whole_or_broken(lambda: self._facts(commit)[0])
        return replace(found, committed_at=committed_at)

    def _whole_or_broken(self, read: Callable[[], Results]) -> Results:
        try:
            return read()
        except GitDisturbed:
            raise
        except (PipelineError, GitFailed, OSError) as error:
            return Results(error=str(error))

    def _read(self, commit: Rev, baseline: Rev | None) -> Results:
        base_tree = EMPTY_TREE if baseline is None else self._repository.tree_of(baseline)
        found, tree, files = self._facts(commit)
        changed = [path.removeprefix(self._prefix) for path in self._changed(base_tree, tree)]
        return replace(found, paths=tuple(self._paths(tree, files, changed)))

    def _facts(self, commit: Rev) -> tuple[Results, Rev, ResultFiles]:
        tree = self._repository.tree_of(commit)
        files = self._declared(tree)
        return Results(params=self._params(tree, files), metrics=self._metrics(tree, files)), tree, files

    def _changed(self, base_tree: Rev, tree: Rev) -> list[str]:
        return [path for path in self._repository.changed_paths(base_tree, tree) if path.startswith(self._prefix)]

    def _text(self, tree: Rev, path: str) -> str | None:
        data = self._repository.read_file(tree, self._prefix + path)
        return None if data is None else data.decode("utf-8", "replace")

    def _declared(self, tree: Rev) -> ResultFiles:
        """Merge what every pipeline of the project declares."""
        found: list[ResultFiles] = []
        for path in sorted(self._repository.paths_named(tree, _PIPELINE_NAMES)):
            if path.startswith(self._prefix):
                dvcyaml = path.removeprefix(self._prefix)
                lock = posixpath.join(posixpath.dirname(dvcyaml), LOCK_FILE)
                text, lock_text = self._text(tree, dvcyaml) or "", self._text(tree, lock) or ""
                found.append(result_files(text, lock_text, dvcyaml=dvcyaml, read=lambda other: self._text(tree, other)))
        return ResultFiles(
            params=tuple(item for files in found for item in files.params),
            metrics=tuple(item for files in found for item in files.metrics),
            plots=tuple(item for files in found for item in files.plots),
            outs=tuple(item for files in found for item in files.outs),
        )

    def _params(self, tree: Rev, files: ResultFiles) -> Facts:
        """Read params.yaml whole, as DVC shows it, and of other files what is listed."""
        wanted = {file.path: file for file in files.params}
        wanted[DEFAULT_PARAMS] = ParamsFile(path=DEFAULT_PARAMS)
        facts: Facts = {}
        for path, file in wanted.items():
            text = self._text(tree, path)
            if text is not None:
                parsed = parse_params(text, path)
                facts.update(_flatten(path, select(parsed, file.keys, path) if file.keys else parsed))
        return facts

    def _metrics(self, tree: Rev, files: ResultFiles) -> Facts:
        wanted: Iterable[ResultFile] = files.metrics
        if not files.outs and not files.metrics:
            wanted = [ResultFile(path=path) for path in METRICS_BY_CONVENTION]
        facts: Facts = {}
        for file in wanted:
            text = self._result_text(tree, file)
            if text is not None:
                facts.update(_flatten(file.path, parse_params(text, file.path)))
        return facts

    def _result_text(self, tree: Rev, file: ResultFile) -> str | None:
        if file.fingerprint is None:
            return self._text(tree, file.path)
        if file.fingerprint.is_directory or (file.fingerprint.size or 0) > METRICS_BYTES_MAX:
            return None
        source = self._cache.location(file.fingerprint.md5, legacy=file.fingerprint.legacy)
        return source.read_text("utf-8", "replace") if source.is_file() else None

    def _paths(self, tree: Rev, files: ResultFiles, changed: list[str]) -> Iterable[ResultPath]:
        """Give declared outputs first, then every other file that differs from the baseline."""
        roles = {file.path: "metric" for file in files.metrics} | {file.path: "plot" for file in files.plots}
        declared = {fact.path for fact in files.outs}
        for fact in files.outs:
            yield from self._declared_path(tree, fact, roles.get(fact.path, "out"))
        params = {file.path for file in files.params} | {DEFAULT_PARAMS}
        for path in changed:
            if path not in declared and not any(path.startswith(out + "/") for out in declared):
                role = roles.get(path) or ("param" if path in params else "file")
                yield from self._changed_path(tree, path, role)

    def _declared_path(self, tree: Rev, fact: PathFact, role: str) -> Iterable[ResultPath]:
        if fact.cached:
            size = None if fact.fingerprint is None else fact.fingerprint.size
            if fact.fingerprint is not None:
                yield ResultPath(
                    path=fact.path, role=role, stage=fact.stage, fingerprint=fact.fingerprint, blob=None, size=size
                )
            return
        yield from self._git_path(tree, fact.path, role, fact.stage)

    def _changed_path(self, tree: Rev, path: str, role: str) -> Iterable[ResultPath]:
        """A pointer of ours (or DVC's) stands for the files it names; every other file is itself, a broken pointer too."""
        text = self._text(tree, path) if path.endswith(".dvc") else None
        try:
            pointed = None if text is None else pointed_at(text, path)
        except PipelineError:
            pointed = None
        if pointed is None:
            yield from self._git_path(tree, path, role, None)
            return
        for target, fingerprint in pointed.items():
            yield ResultPath(
                path=target, role="out", stage=None, fingerprint=fingerprint, blob=None, size=fingerprint.size
            )

    def _git_path(self, tree: Rev, path: str, role: str, stage: str | None) -> Iterable[ResultPath]:
        found = self._repository.file_at(tree, self._prefix + path)
        if found is not None and (found.mode & 0o170000) != 0o160000:
            size = self._repository.blob_size(found.rev)
            yield ResultPath(path=path, role=role, stage=stage, fingerprint=None, blob=found.rev, size=size)


def pointed_at(text: str, path: str) -> Mapping[str, Fingerprint]:
    """Read what a .dvc file (its path relative to the project's root) stands for: path → fingerprint."""
    data_file = parse_data_file(text, path, _ROOT)
    return {
        posixpath.relpath(out.location, _ROOT): data_file.recorded[out.path]
        for out in data_file.outs
        if out.cache and out.path in data_file.recorded
    }


def _flatten(path: str, value: object, prefix: str = "") -> Facts:
    """Turn nested maps into dotted keys; lists are values."""
    if not isinstance(value, Mapping):
        return {(path, prefix): value} if prefix else {}
    facts: Facts = {}
    for key, item in value.items():
        facts.update(_flatten(path, item, f"{prefix}.{key}" if prefix else str(key)))
    return facts


def shown(facts: Facts) -> dict[str, object]:
    """Give facts under the names people read: the key alone, or with its file where two files have it."""
    keys = [key for _path, key in facts]
    return {(f"{path}:{key}" if keys.count(key) > 1 else key): plain(value) for (path, key), value in facts.items()}


def plain(value: object) -> object:
    """Give what the wire can hold of a parsed value: dates, and integers beyond 64 bits, as text."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def changed_facts(facts: Facts, baseline: Facts) -> Facts:
    """Give the facts that differ from the baseline's, and None for what the experiment has no more."""
    changed = {key: value for key, value in facts.items() if key not in baseline or baseline[key] != value}
    return {**changed, **{key: None for key in baseline if key not in facts}}
