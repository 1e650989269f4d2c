"""What a person names on the command line → the stages to go through (dvc/repo/stage.py, reproduce.py).

Promise: pure. A target is a stage or a group of generated stages of the dvc.yaml (or expd.toml) here, `path/dvc.yaml`,
`path/dvc.yaml:stage`, a `.dvc` file, or, with `recursive`, a directory; with no target, the dvc.yaml here.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from expd.pipeline.contents import Contents
from expd.pipeline.graph import Graph
from expd.pipeline.locations import is_within, locate, relative
from expd.pipeline.model import DATA_FILE_SUFFIX, LOCK_FILE, PROJECT_FILE, TOML_FILE, Stage, TargetError
from expd.pipeline.projectfile import is_pipeline_file
from expproto.stage_options import Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How far to go from the targets, and whether a target may be a directory."""

    reach: Reach = Reach.UPSTREAM
    recursive: bool = False


def plan(
    contents: Contents, graph: Graph, targets: Sequence[str], scope: Scope, *, root: str, directory: str
) -> list[str]:
    """The addresses to go through, in order; those of `.dvc` files are among them."""
    if scope.reach is Reach.EVERYTHING:
        return graph.order()
    finder = _Finder(contents, root, directory, recursive=scope.recursive)
    found = list(dict.fromkeys(address for target in targets or (finder.here(),) for address in finder.find(target)))
    if scope.reach is Reach.SINGLE:
        return found
    if scope.reach is Reach.DOWNSTREAM:
        return graph.downstream(found)
    return graph.connected(found) if scope.reach is Reach.PIPELINE else graph.order(found)


class _Finder:
    """Looks targets up as seen from one directory."""

    def __init__(self, contents: Contents, root: str, directory: str, *, recursive: bool) -> None:
        self._contents = contents
        self._root = root
        self._directory = directory
        self._recursive = recursive

    def find(self, target: str) -> list[str]:
        """The addresses a target stands for."""
        if self._recursive and not self._is_file(target):
            below = self._below(target)
            if below:
                return below
        file, _, name = target.rpartition(":")
        if not file and self._is_file(name):
            file, name = name, ""
        file = file or self.here()
        path = relative(locate(self._directory, file), self._root)
        if path in self._contents.data_files:
            return [path]
        return self._stages(path, name, target)

    def here(self) -> str:
        """The name of the file that holds the pipeline of this directory."""
        toml = relative(locate(self._directory, TOML_FILE), self._root)
        return TOML_FILE if toml in self._contents.pipelines else PROJECT_FILE

    def _is_file(self, target: str) -> bool:
        return is_pipeline_file(target) or target.endswith(DATA_FILE_SUFFIX)

    def _stages(self, path: str, name: str, target: str) -> list[str]:
        pipeline = self._contents.pipelines.get(path)
        if pipeline is None:
            hint = "name dvc.yaml instead" if posixpath.basename(target) == LOCK_FILE else f"'{path}' does not exist"
            raise TargetError(path=target, expected="a stage, a dvc.yaml, an expd.toml or a .dvc file", hint=hint)
        if not name:
            return [stage.address for stage in pipeline.stages]
        wanted = set(pipeline.groups.get(name, (name,)))
        found = [stage.address for stage in pipeline.stages if stage.name in wanted]
        if not found and name not in pipeline.groups:
            known = ", ".join(dict.fromkeys([stage.name for stage in pipeline.stages]))
            raise TargetError(path=path, expected=f"a stage '{name}'", hint=f"there is: {known}" if known else "")
        return found

    def _below(self, target: str) -> list[str]:
        location = locate(self._directory, target)
        return [
            node.address
            for node in self._contents.nodes
            if is_within(locate(self._root, node.dvcyaml if isinstance(node, Stage) else node.path), location)
        ]
