"""What the inputs and outputs of a stage are right now.

Promise: reads only. A missing thing is None when it is merely looked at, and an error naming it when it is required.
"""

import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from expd.pipeline.cache import Cache
from expd.pipeline.changes import (
    Reason,
    always_reasons,
    command_reasons,
    dependency_reasons,
    output_reasons,
    parameter_reasons,
)
from expd.pipeline.dvcignore import DvcIgnore
from expd.pipeline.hashing import Content, Hasher
from expd.pipeline.lockentry import LockEntry
from expd.pipeline.model import (
    Dependency,
    Fingerprint,
    MissingDependencyError,
    MissingOutputError,
    Output,
    PipelineError,
    Stage,
)
from expd.pipeline.params import observe_params, require_params
from expd.pipeline.sidebyside import LARGE_BYTES

_METRIC_PROBE_BYTES = 512
_TEXT_CHARACTERS = bytes(range(32, 127)) + b"\n\r\t\f\b"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Dependencies and parameters by path; complete."""

    deps: Mapping[str, Fingerprint]
    params: Mapping[str, Mapping[str, object]]


def _forgive_nothing(reason: Reason) -> bool:
    """Every reason counts."""
    del reason
    return False


class Observer:
    """Looks at the stages of one project."""

    def __init__(self, hasher: Hasher, ignore: DvcIgnore, cache: Cache) -> None:
        self._hasher = hasher
        self._ignore = ignore
        self._cache = cache

    def reasons(
        self, stage: Stage, entry: LockEntry | None, forgive: Callable[[Reason], bool] = _forgive_nothing
    ) -> tuple[Reason, ...]:
        """Why the stage is not up to date; empty if it is. Outputs are looked at only if nothing else changed.

        A reason that `forgive` accepts does not count.
        """
        for ask in (command_reasons, self.input_reasons, self._output_reasons):
            found = tuple(reason for reason in ask(stage, entry) if not forgive(reason))
            if found:
                return found
        return ()

    def input_reasons(self, stage: Stage, entry: LockEntry | None) -> tuple[Reason, ...]:
        """What changed among the inputs, of which a frozen stage has none."""
        if stage.frozen:
            return ()
        always = always_reasons(stage)
        if always:
            return always
        return tuple(self._dependency_reasons(stage, entry))

    def _dependency_reasons(self, stage: Stage, entry: LockEntry | None) -> list[Reason]:
        legacy = {} if entry is None else {path: item.legacy for path, item in entry.deps.items()}
        deps = {dep.path: self._look(dep.location, legacy=legacy.get(dep.path, False)) for dep in stage.deps}
        params = {dep.path: observe_params(dep) for dep in stage.params}
        return [*dependency_reasons(stage, entry, deps), *parameter_reasons(stage, entry, params)]

    def _output_reasons(self, stage: Stage, entry: LockEntry | None) -> tuple[Reason, ...]:
        recorded = {} if entry is None else entry.outs
        cached = {out.path: not out.cache or self._is_cached(recorded.get(out.path)) for out in stage.outs}
        observed = {
            out.path: self._look_at_output(out, recorded.get(out.path)) if cached[out.path] else None
            for out in stage.outs
        }
        return tuple(output_reasons(stage, entry, observed, cached))

    def _is_cached(self, fingerprint: Fingerprint | None) -> bool:
        return fingerprint is None or self._cache.has(fingerprint)

    def _look(self, location: str, *, legacy: bool = False) -> Fingerprint | None:
        content = self._hasher.content(location, legacy=legacy)
        return None if content is None else content.fingerprint

    def _look_at_output(self, out: Output, recorded: Fingerprint | None) -> Fingerprint | None:
        if self._is_ignored(out):
            return None
        return self._look(out.location, legacy=recorded is not None and recorded.legacy)

    def _is_ignored(self, out: Output) -> bool:
        return self._ignore.ignores(out.location, is_directory=Path(out.location).is_dir())

    def inputs(self, stage: Stage, entry: LockEntry | None) -> Inputs:
        """Dependencies and parameters as they are now; a missing one is an error that names it.

        What is recorded with a hash of DVC 2, and still the same, keeps that hash, as DVC does.
        """
        recorded = {} if entry is None else entry.deps
        deps: dict[str, Fingerprint] = {}
        ahead = self._hash_ahead(stage.deps, recorded)
        for dep in stage.deps:
            content = ahead.get(dep.location) or self._content(dep.location, recorded.get(dep.path))
            if content is None:
                raise MissingDependencyError(
                    path=dep.path, expected="a file or directory", hint=f"{stage.address} depends on it"
                )
            deps[dep.path] = content.fingerprint
        return Inputs(deps, {dep.path: require_params(dep) for dep in stage.params})

    def _hash_ahead(
        self, paths: Sequence[Dependency | Output], recorded: Mapping[str, Fingerprint]
    ) -> dict[str, Content]:
        """Hash the large files among several paths side by side; by location. The rest is left for its turn."""
        large = [path.location for path in paths if path.path not in recorded or not recorded[path.path].legacy]
        large = [location for location in dict.fromkeys(large) if _is_large(location)]
        if len(large) < 2:
            return {}
        return {file: Content(fingerprint) for file, fingerprint in self._hasher.files(large).items()}

    def _content(self, location: str, recorded: Fingerprint | None) -> Content | None:
        if recorded is not None and recorded.legacy:
            content = self._hasher.content(location, legacy=True)
            if content is not None and content.fingerprint.same_content(recorded):
                return content
        return self._hasher.content(location)

    def outputs(self, stage: Stage, entry: LockEntry | None) -> dict[str, Content]:
        """What the outputs hold now; a missing one is an error that names it."""
        recorded = {} if entry is None else entry.outs
        ahead = self._hash_ahead([out for out in stage.outs if not self._is_ignored(out)], recorded)
        return {
            out.path: self._output(stage, out, ahead.get(out.location) or self._find(out, recorded.get(out.path)))
            for out in stage.outs
        }

    def _find(self, out: Output, recorded: Fingerprint | None) -> Content | None:
        return None if self._is_ignored(out) else self._content(out.location, recorded)

    def _output(self, stage: Stage, out: Output, content: Content | None) -> Content:
        if content is None:
            raise MissingOutputError(
                path=out.path, expected=f"that {stage.address} writes this output", stages=(stage.address,)
            )
        if out.kind == "metric" and content.manifest is None and not _is_text(out.location):
            raise PipelineError(path=out.path, expected="metrics in a text file", stages=(stage.address,))
        return content


def _is_large(location: str) -> bool:
    """Whether a regular file is there that is worth a thread of its own."""
    try:
        status = Path(location).stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size >= LARGE_BYTES


def _is_text(location: str) -> bool:
    """DVC's guess: no NUL in the first 512 bytes, and at most three in ten of them unprintable."""
    with Path(location).open("rb") as file:
        block = file.read(_METRIC_PROBE_BYTES)
    return b"\x00" not in block and len(block.translate(None, _TEXT_CHARACTERS)) <= 0.30 * len(block)
