"""A project in a worktree: what has to run, in which order, what it finds, and what is recorded when it ends.

This is the room's door: the worker opens a project, asks for the order, and for each stage examines, then restores or
clears and runs, then records. Promise: nothing is written but outputs, the cache, dvc.lock and .gitignore; everything
blocks, and long work calls the checkpoint.
"""

import hashlib
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from expd.pipeline.cache import Cache
from expd.pipeline.changes import Changed, Frozen, Reason, Restorable, Unchanged, Verdict, is_missing
from expd.pipeline.config import ParsingSettings
from expd.pipeline.contents import Contents, read_contents
from expd.pipeline.datalinks import DataLinks, MissingData
from expd.pipeline.dvcignore import DvcIgnore
from expd.pipeline.gitignore import GitIgnore, find_git_root
from expd.pipeline.graph import Node, build_graph, is_tracked
from expd.pipeline.hashing import Content, Hasher, no_checkpoint
from expd.pipeline.links import LinkType, remove
from expd.pipeline.locations import is_within, locate, relative
from expd.pipeline.lockentry import LockEntry
from expd.pipeline.lockfile import LockFile
from expd.pipeline.memo import HashMemo
from expd.pipeline.model import (
    LOCK_FILE,
    PIPELINE_FILES,
    DataFile,
    Fingerprint,
    MissingDependencyError,
    Output,
    Pipeline,
    PipelineError,
    Stage,
)
from expd.pipeline.observation import Inputs, Observer
from expd.pipeline.results import ResultFiles, collect_results
from expd.pipeline.runcache import RunCache, canonical_json, entry_key, is_eligible, keeps_entries
from expd.pipeline.sidebyside import Checkpoint
from expd.pipeline.targets import Scope, plan

# What Git tracks must look like any file, whatever kind of link the cache uses.
_COPIES: tuple[LinkType, ...] = ("copy",)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """What was recorded of a stage: its entry in dvc.lock, and the paths (from the root) an experiment commits."""

    name: str
    address: str
    entry: LockEntry
    tracked_paths: tuple[str, ...]


def open_project(
    root: Path,
    directory: Path,
    *,
    cache: Cache,
    parsing: ParsingSettings | None = None,
    memo: HashMemo | None = None,
    checkpoint: Checkpoint = no_checkpoint,
) -> "Project":
    """Read the project at `root`, the DVC root or Git root, for somebody who stands in `directory`.

    PipelineError says what is wrong with any dvc.yaml or `.dvc` file in it, or with how they fit together.
    """
    base = posixpath.normpath(str(root.absolute()))
    ignore = DvcIgnore(base)
    gitignore = GitIgnore(find_git_root(base))
    contents = read_contents(base, ignore, gitignore, parsing or ParsingSettings())
    hasher = Hasher(ignore=ignore, memo=memo, checkpoint=checkpoint)
    return Project(
        root=base,
        directory=posixpath.normpath(str(directory.absolute())),
        contents=contents,
        cache=cache,
        hasher=hasher,
        ignore=ignore,
        gitignore=gitignore,
    )


class Project:
    """One project, opened. Not for several threads at once."""

    def __init__(
        self,
        *,
        root: str,
        directory: str,
        contents: Contents,
        cache: Cache,
        hasher: Hasher,
        ignore: DvcIgnore,
        gitignore: GitIgnore,
    ) -> None:
        self.root = root
        self.directory = directory
        self.contents = contents
        self.graph = build_graph(contents.nodes, root)
        self._cache = cache
        self._gitignore = gitignore
        self._run_cache = RunCache(cache)
        self._observer = Observer(hasher, ignore, cache)
        self._data = DataLinks(cache, hasher)
        self._locks: dict[str, LockFile] = {}
        self._cached_locations = {out.location: out for node in contents.nodes for out in node.outs if out.cache}

    @property
    def pipelines(self) -> dict[str, Pipeline]:
        """Every dvc.yaml by its path from the root."""
        return self.contents.pipelines

    def address(self, stage: Stage) -> str:
        """What DVC calls the stage from where the submitter stands; the value of DVC_STAGE."""
        path = relative(locate(self.root, stage.dvcyaml), self.directory)
        return stage.name if path in PIPELINE_FILES else f"{path}:{stage.name}"

    def order(self, targets: Sequence[str] = (), scope: Scope | None = None) -> list[Stage]:
        """The stages to go through, producers first. TargetError for a target that names nothing."""
        addresses = plan(self.contents, self.graph, targets, scope or Scope(), root=self.root, directory=self.directory)
        nodes = [self.graph.nodes[address] for address in addresses]
        for node in nodes:
            if isinstance(node, DataFile) and node.commands is not None:
                raise PipelineError(
                    path=node.path, expected="no commands in a .dvc file", hint="move the stage into a dvc.yaml"
                )
        return [node for node in nodes if isinstance(node, Stage)]

    def lock_entry(self, stage: Stage) -> LockEntry | None:
        """What dvc.lock says of the stage."""
        return self._lock(stage).entry(stage.name)

    def _lock(self, stage: Stage) -> LockFile:
        if stage.dvcyaml not in self._locks:
            self._locks[stage.dvcyaml] = LockFile(posixpath.join(stage.directory, LOCK_FILE))
        return self._locks[stage.dvcyaml]

    # Before

    def link_data_sources(
        self, stages: Sequence[Stage] | None = None, *, allow_missing: bool = False
    ) -> tuple[MissingData, ...]:
        """Put tracked data in place: that of every `.dvc` file, and outputs of stages that are not in the plan.

        With `stages`, the plan, MissingObjectError only for what one of them reads, and not at all with `allow_missing`;
        the rest of what is missing is returned. Without, everything is required. What already holds what is recorded is left as it is.
        """
        planned = {stage.address for stage in stages or () if not stage.frozen}
        read = {producer for address in planned for producer in self.graph.producers[address]}
        missing: list[MissingData] = []
        for address, node in self.graph.nodes.items():
            if isinstance(node, DataFile):
                is_required = (stages is None or address in read) and not allow_missing
                missing.extend(self._data.link(node, is_required=is_required))
            elif address in read and address not in planned:
                self._link_outputs(node, node.outs)
        return tuple(missing)

    def data_locations(self) -> list[str]:
        """Where `.dvc` files have their data from the cache."""
        files = (node for node in self.contents.nodes if isinstance(node, DataFile))
        return [out.location for file in files for out in file.outs if out.cache]

    def _link_outputs(self, stage: Stage, outs: Sequence[Output]) -> None:
        """Bring back recorded outputs that are not there at all, as far as the cache has them."""
        entry = self.lock_entry(stage)
        for out in outs if entry is not None else ():
            fingerprint = entry.outs.get(out.path) if entry is not None else None
            is_wanted = fingerprint is not None and out.cache and not Path(out.location).exists()
            if fingerprint is not None and is_wanted:
                self._cache.bring(fingerprint, Path(out.location))

    def bring_back(self, stage: Stage, *, everything: bool) -> None:
        """Put recorded outputs in place that are not there and that no restoring brings: what persists, or all of it."""
        self._link_outputs(stage, [out for out in stage.outs if out.persist or everything])

    def lacking(self, stages: Sequence[Stage]) -> list[str]:
        """Addresses of `.dvc` files, and of stages outside the plan, whose data a planned stage reads and nobody has."""
        planned = {stage.address for stage in stages if not stage.frozen}
        read = {producer for address in planned for producer in self.graph.producers[address]}
        return [address for address in self.graph.nodes if address in read - planned and self._lacks_data(address)]

    def _lacks_data(self, address: str) -> bool:
        node = self.graph.nodes[address]
        if isinstance(node, DataFile):
            return self._data.is_lacking(node)
        for out in node.outs:
            recorded = self._recorded(node).get(out.path) if out.cache else None
            if recorded is not None and not Path(out.location).exists() and not self._cache.has(recorded):
                return True
        return False

    def lacking_only_data(self, stages: Sequence[Stage]) -> list[str]:
        """Addresses of planned stages that are up to date but for outputs which nobody has."""
        found = []
        suspects: set[str] = set()
        for stage in stages:
            is_below = any(producer in suspects for producer in self.graph.producers[stage.address])
            if is_below or not self._is_current_but_for_data(stage):
                suspects.add(stage.address)
            elif self._lacks_data(stage.address):
                found.append(stage.address)
        return found

    def _is_current_but_for_data(self, stage: Stage) -> bool:
        try:
            return isinstance(self.examine(stage, allow_missing=True), Unchanged)
        except MissingDependencyError:
            return False

    # Deciding

    def examine(self, stage: Stage, *, force: bool = False, allow_missing: bool = False) -> Verdict:
        """Whether the stage has to run. MissingDependencyError if it has to and can't, for want of an input.

        `force` and `allow_missing` are DVC's: run although nothing changed; let data that is not here count as
        unchanged, unless a stage has made it anew.
        """
        entry = self.lock_entry(stage)
        if allow_missing and not force:
            reasons = self._observer.reasons(stage, entry, lambda reason: self._is_forgiven(stage, entry, reason))
        else:
            reasons = self._observer.reasons(stage, entry)
        if force:
            forced = (Reason("forced", stage.name), *reasons)
            return Frozen(forced) if stage.frozen else Changed(forced)
        if stage.frozen:
            return self._examine_frozen(stage, entry, reasons)
        if not reasons:
            return Unchanged()
        if all(reason.kind == "output" for reason in reasons) and self._is_restorable(stage, entry):
            assert entry is not None
            return Restorable(entry, "lock", reasons)
        inputs = self._observer.inputs(stage, entry)
        known = self._find_run(stage, inputs)
        return Changed(reasons) if known is None else Restorable(known, "run cache", reasons)

    def _is_forgiven(self, stage: Stage, entry: LockEntry | None, reason: Reason) -> bool:
        if not is_missing(reason):
            return False
        if reason.kind != "dependency":
            return True
        (location,) = {dep.location for dep in stage.deps if dep.path == reason.subject}
        recorded = None if entry is None else entry.deps.get(reason.subject)
        made = self._recorded_outputs(stage).get(location)
        return made is None or made.same_content(recorded)

    def _recorded_outputs(self, stage: Stage) -> dict[str, Fingerprint]:
        """What those that the stage reads from have recorded, by location."""
        found: dict[str, Fingerprint] = {}
        for address in self.graph.producers[stage.address]:
            node = self.graph.nodes[address]
            recorded = self._recorded(node)
            found.update({out.location: recorded[out.path] for out in node.outs if out.path in recorded})
        return found

    def _recorded(self, node: Node) -> Mapping[str, Fingerprint]:
        if isinstance(node, DataFile):
            return node.recorded
        entry = self.lock_entry(node)
        return {} if entry is None else entry.outs

    def _examine_frozen(self, stage: Stage, entry: LockEntry | None, reasons: tuple[Reason, ...]) -> Verdict:
        if not reasons:
            return Unchanged()
        is_gone = any(reason.kind == "output" and reason.state == "deleted" for reason in reasons)
        if is_gone and entry is not None and self._has_outputs(stage, entry):
            return Restorable(entry, "lock", reasons)
        return Frozen(reasons)

    def _is_restorable(self, stage: Stage, entry: LockEntry | None) -> bool:
        return entry is not None and is_eligible(stage, self.root, entry.params) and self._has_outputs(stage, entry)

    def _has_outputs(self, stage: Stage, entry: LockEntry) -> bool:
        found = (entry.outs.get(out.path) for out in stage.outs)
        return all(fingerprint is not None and self._cache.has(fingerprint) for fingerprint in found)

    def _find_run(self, stage: Stage, inputs: Inputs) -> LockEntry | None:
        entry = self._known_run(stage, inputs)
        return entry if entry is not None and self._has_outputs(stage, entry) else None

    def _known_run(self, stage: Stage, inputs: Inputs) -> LockEntry | None:
        if not is_eligible(stage, self.root, inputs.params):
            return None
        wanted = LockEntry(commands=stage.commands, deps=inputs.deps, params=inputs.params)
        return self._run_cache.find(wanted, [out.path for out in stage.outs])

    def lacking_of_known_run(self, stage: Stage) -> list[Fingerprint]:
        """What nobody here has of the outputs of an earlier run with what is there now; nothing if there was none.

        MissingDependencyError for want of an input.
        """
        entry = self._known_run(stage, self._observer.inputs(stage, self.lock_entry(stage)))
        found = [] if entry is None else [entry.outs.get(out.path) for out in stage.outs]
        return [fingerprint for fingerprint in found if fingerprint is not None and not self._cache.has(fingerprint)]

    def flight_key(self, stage: Stage) -> str | None:
        """The key under which the run cache will have what a stage makes of what is there; None if it will not.

        MissingDependencyError for want of an input.
        """
        if not keeps_entries(stage, self.root, {}):
            return None
        inputs = self._observer.inputs(stage, self.lock_entry(stage))
        if not keeps_entries(stage, self.root, inputs.params):
            return None
        entry = LockEntry(commands=stage.commands, deps=inputs.deps, params=inputs.params)
        return entry_key(entry, [out.path for out in stage.outs])

    def has_run(self, key: str) -> bool:
        """Whether the run cache has anything of this key by now."""
        return self._run_cache.has(key)

    # Acting

    def restore(self, stage: Stage, verdict: Restorable) -> None:
        """Put the outputs of an earlier run in place, instead of whatever is there."""
        for out in stage.outs:
            self._cache.check_out(
                verdict.entry.outs[out.path], Path(out.location), types=None if out.cache else _COPIES
            )

    def clear_outputs(self, stage: Stage) -> None:
        """Remove what the commands will make. An output that persists is brought back if need be and made writable."""
        self._link_outputs(stage, [out for out in stage.outs if out.persist])
        for out in stage.outs:
            location = Path(out.location)
            if not out.persist:
                remove(location)
            elif out.cache and location.exists():
                self._cache.unprotect(location)

    def leave_outputs(self, stage: Stage) -> None:
        """Leave what a run that was interrupted has made, for the commands to go on with; only make it writable."""
        for out in stage.outs:
            if out.cache and Path(out.location).exists():
                self._cache.unprotect(Path(out.location))

    def record(self, stage: Stage) -> StageRecord:
        """Hash what the stage read and made, and write it down: cache, run cache, .gitignore, dvc.lock, in this order.

        MissingOutputError and MissingDependencyError name what is not there; nothing is written then.
        """
        record = self.keep(stage)
        self.write_down(stage)
        return record

    def keep(self, stage: Stage) -> StageRecord:
        """Do the part of `record` that has no order among stages: cache and run cache. Others see the new entry."""
        recorded = self.lock_entry(stage)
        inputs = self._observer.inputs(stage, recorded)
        contents = self._observer.outputs(stage, recorded)
        entry = LockEntry(
            commands=stage.commands,
            deps=inputs.deps,
            params=inputs.params,
            outs={path: content.fingerprint for path, content in contents.items()},
        )
        keeps = keeps_entries(stage, self.root, inputs.params)
        self._store([(out, contents[out.path]) for out in stage.outs if out.cache or keeps])
        if keeps:
            self._run_cache.keep(entry)
        self._lock(stage).remember(stage.name, entry)
        return self.record_of(stage, entry)

    def write_down(self, stage: Stage) -> None:
        """Do the rest of `record`: .gitignore and dvc.lock, whose bytes depend on the order of these calls."""
        for out in stage.outs:
            if out.cache:
                self._gitignore.add(out.location)
        self._lock(stage).write(stage.name)

    def ignore_made(self, stage: Stage) -> None:
        """Let Git ignore what a stage made before the first output that it did not make, as DVC has done by then."""
        for out in stage.outs:
            if not Path(out.location).exists():
                return
            if out.cache:
                self._gitignore.add(out.location)

    def take_back_ignores(self) -> None:
        """Take back what was added to .gitignore, as DVC does where the stages end in a failure; dvc.lock stays."""
        self._gitignore.take_back()

    def record_of(self, stage: Stage, entry: LockEntry) -> StageRecord:
        """What there is to say of a stage whose entry is already written."""
        return StageRecord(name=stage.name, address=stage.address, entry=entry, tracked_paths=self.tracked_paths(stage))

    def _store(self, found: Sequence[tuple[Output, Content]]) -> None:
        self._cache.store_contents([(content, Path(out.location)) for out, content in found])
        for out, content in found:
            self._cache.relink(content, Path(out.location), types=None if out.cache else _COPIES)

    def interesting_files(self) -> ResultFiles:
        """Where the parameters, metrics and plots of this project are, and what dvc.lock says of each."""
        pipelines = list(self.contents.pipelines.values())
        locks = {pipeline.dvcyaml: self._entries(pipeline) for pipeline in pipelines}
        return collect_results(pipelines, locks, self.root)

    def _entries(self, pipeline: Pipeline) -> dict[str, LockEntry]:
        found = {stage.name: self.lock_entry(stage) for stage in pipeline.stages}
        return {name: entry for name, entry in found.items() if entry is not None}

    def tracked_paths(self, stage: Stage) -> tuple[str, ...]:
        """What an experiment commits of a stage it went through, relative to the root (dvc/stage/utils.py).

        dvc.yaml and dvc.lock, the dependencies that are not themselves cached, the outputs that are not.
        """
        lock = posixpath.join(posixpath.dirname(stage.dvcyaml), LOCK_FILE)
        reads = (dep.location for dep in stage.reads)
        locations = [location for location in reads if not is_tracked(location, self._cached_locations)]
        locations += [out.location for out in stage.outs if not out.cache]
        inside = (relative(location, self.root) for location in locations if is_within(location, self.root))
        return tuple(dict.fromkeys([stage.dvcyaml, lock, *inside]))


def exp_hash(records: Iterable[StageRecord]) -> str:
    """The name DVC gives to what ran: sha256 over the lock entries of the stages that did, by name."""
    data = {record.name: record.entry.to_data() for record in records}
    return hashlib.sha256(canonical_json(data)).hexdigest()
