"""What can be known to go wrong is refused at submit, not found out at run time.

A stage that is planned must find what it reads: in the captured tree, as an output of another stage, or as data that a
`.dvc` file tracks and the cache holds.
"""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from expd.gitio.repository import Repository
from expd.pipeline.cache import Cache
from expd.pipeline.config import read_config
from expd.pipeline.contents import Contents
from expd.pipeline.gitignore import GitIgnore
from expd.pipeline.graph import Graph, build_graph, is_tracked
from expd.pipeline.locations import ancestors, is_within, locate, relative
from expd.pipeline.model import (
    PIPELINE_FILES,
    DataFile,
    Dependency,
    MissingDependencyError,
    MissingObjectError,
    Output,
    ParamsDependency,
    PipelineError,
    Stage,
)
from expd.pipeline.targets import Scope, plan
from expd.prepare.capture import CapturedSubmodule
from expd.prepare.declared import ANYWHERE, CapturedTree, read_declared
from expd.prepare.project import Project
from expproto.stage_options import DEFAULT_STAGE_OPTIONS, OnFailure, StageOptions
from expproto.vocabulary import Rev


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """New files that are not in the capture: paths that are copied beside it, and secrets left at home."""

    copied: Sequence[str] = ()
    secrets: Sequence[str] = ()


def check_pipeline(
    repository: Repository,
    tree: Rev,
    project: Project,
    targets: Sequence[str],
    *,
    options: StageOptions = DEFAULT_STAGE_OPTIONS,
    beside: Beside | None = None,
    submodules: Sequence[CapturedSubmodule] = (),
) -> None:
    """Read the pipeline as it would run; raises PipelineError for its form, its graph, a target it does not have,
    and what a planned stage reads and would not find. With --pull data may be in the remote alone; with --allow-missing
    what is missing may belong to a stage that is skipped, with --ignore-errors to one that may fail.
    """
    workspace = project.location.workspace
    captured = CapturedTree(repository, tree, workspace, submodules)
    root, directory = locate(ANYWHERE, project.root), locate(ANYWHERE, project.directory)
    _check_captured(captured, directory, root)
    contents = read_declared(captured, project, read_config(workspace / project.root).parsing)
    graph = build_graph(contents.nodes, root)
    scope = Scope(reach=options.reach, recursive=options.recursive)
    addresses = plan(contents, graph, targets, scope, root=root, directory=directory)
    if not options.allow_missing and options.on_failure is not OnFailure.IGNORE:
        _Check(captured, project, contents, graph, beside or Beside(), may_pull=options.pull).run(addresses)


def _check_captured(tree: CapturedTree, directory: str, root: str) -> None:
    locations = [posixpath.join(directory, name) for name in PIPELINE_FILES]
    here = [place for place in locations if (tree.workspace / relative(place, ANYWHERE)).is_file()]
    if here and all(tree.read(location) is None for location in locations):
        raise PipelineError(
            path=relative((here or locations)[0], root),
            expected="a file that Git does not ignore",
            hint="what is ignored is not captured",
        )


@dataclass(frozen=True)
class _Check:
    """What planned stages read, looked for where a run would find it."""

    tree: CapturedTree
    project: Project
    contents: Contents
    graph: Graph
    beside: Beside
    may_pull: bool

    def run(self, addresses: Sequence[str]) -> None:
        """Check each stage that would run if everything had changed; a frozen one never does."""
        made = dict.fromkeys(out.location for node in self.contents.nodes for out in node.outs)
        around = {directory for location in made for directory in ancestors(location)}
        planned = [node for node in (self.graph.nodes[address] for address in addresses) if isinstance(node, Stage)]
        for stage in planned:
            if stage.frozen:
                continue
            for read in stage.reads:
                if not (is_tracked(read.location, made) or read.location in around or self._is_copied(read.location)):
                    self._check_read(stage, read)
            for data_file, out in () if self.may_pull else self._tracked_data(stage):
                self._check_data(stage, data_file, out)

    def _is_copied(self, location: str) -> bool:
        """Tell whether something is copied to this place, or below it."""
        copied = [locate(ANYWHERE, path) for path in self.beside.copied]
        return any(is_within(location, place) or is_within(place, location) for place in copied)

    def _check_read(self, stage: Stage, read: Dependency | ParamsDependency) -> None:
        is_elsewhere = posixpath.isabs(read.path) and not is_within(read.location, ANYWHERE)
        if Path(read.location).exists() if is_elsewhere else self.tree.has(read.location):
            return
        what = "the parameter file" if isinstance(read, ParamsDependency) else "the dependency"
        raise MissingDependencyError(
            path=stage.dvcyaml,
            expected=f"{what} {read.path} of stage {stage.name} in what was captured",
            hint=self._why_absent(read.location),
            stages=(stage.address,),
        )

    def _why_absent(self, location: str) -> str:
        if not is_within(location, ANYWHERE):
            return "it is outside the repository; name it by an absolute path, or bring it in"
        workspace = self.project.location.workspace
        real = workspace / relative(location, ANYWHERE)
        if relative(location, ANYWHERE) in self.beside.secrets:
            return "it looks like a secret, and was left out; `--include` takes it"
        if not real.exists():
            return "it does not exist; make it, or let a stage make it"
        if GitIgnore(str(workspace)).ignores(str(real), is_directory=real.is_dir()):
            return "Git ignores it, and what is ignored is not captured; copy it with -C, or track it with `dvc add`"
        if real.is_dir():
            return "it holds no file that Git could hold; put one into it, or let a stage make it"
        return "it belongs to another repository, and is not captured; commit it here, or track it with `dvc add`"

    def _tracked_data(self, stage: Stage) -> Iterator[tuple[DataFile, Output]]:
        """Give what the stage reads of `.dvc` files; the whole file is put in place, as DVC does."""
        for address in self.graph.producers[stage.address]:
            node = self.graph.nodes[address]
            if isinstance(node, DataFile):
                for out in node.outs:
                    yield node, out

    def _check_data(self, stage: Stage, data_file: DataFile, out: Output) -> None:
        """Data that the workspace holds is in the cache since the capture, except imported data, which DVC leaves alone."""
        recorded = data_file.recorded.get(out.path)
        real = self.project.location.workspace / relative(out.location, ANYWHERE)
        if recorded is None or not out.cache or (real.exists() and not data_file.is_import):
            return
        listed = [fingerprint for _relpath, fingerprint in data_file.files.get(out.path, ())]
        cache = Cache(self.project.cache)
        if all(cache.has(fingerprint) for fingerprint in listed or [recorded]):
            return
        raise MissingObjectError(
            path=data_file.path,
            expected=f"its data ({relative(out.location, locate(ANYWHERE, self.project.root))}) for stage {stage.name}",
            hint=f"it is neither in the cache nor in the workspace; `dvc pull {data_file.path}` brings it, or --pull",
            stages=(stage.address,),
        )
