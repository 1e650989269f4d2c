"""What a captured tree declares: every dvc.yaml and `.dvc` file of the project, read from the tree as a run will read it.

Nothing of the workspace is opened but the ignore files, which say what DVC never looks at.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from expd.gitio.errors import LeavesTree
from expd.gitio.links import follow_links
from expd.gitio.repository import LINK, Repository, TreeFile
from expd.pipeline.config import ParsingSettings
from expd.pipeline.contents import Contents
from expd.pipeline.datafiles import parse_data_file
from expd.pipeline.dvcignore import DvcIgnore
from expd.pipeline.dvcyaml import parse_pipeline
from expd.pipeline.gitignore import GitIgnore
from expd.pipeline.locations import ancestors, is_within, locate, relative
from expd.pipeline.model import DATA_FILE_SUFFIX, DataFile, Pipeline
from expd.pipeline.projectfile import check_alone, is_pipeline_file
from expd.pipeline.stages import StageFile
from expd.prepare.capture import CapturedSubmodule
from expd.prepare.project import Project
from expproto.vocabulary import Rev

ANYWHERE = "/workspace"
"""Stands for the workspace: the pipeline is read from a tree, and nothing is opened."""


@dataclass(frozen=True)
class CapturedTree:
    """One captured tree with what was captured of its submodules, seen as files below ANYWHERE."""

    repository: Repository
    rev: Rev
    workspace: Path
    submodules: Sequence[CapturedSubmodule] = ()

    @cached_property
    def files(self) -> dict[str, TreeFile]:
        """Every file by its path."""
        files = self.repository.files_of(self.rev)
        for submodule in self.submodules:
            inner = Repository(submodule.git_directory)
            tree = inner.tree_of(submodule.rev)
            files |= {f"{submodule.path}/{path}": file for path, file in inner.files_of(tree).items()}
        return files

    @cached_property
    def _directories(self) -> set[str]:
        return {".", *(parent for path in self.files for parent in _parents(path))}

    def read(self, location: str) -> str | None:
        """Give the text of a file, or of the one a link leads to; None if there is none in the tree."""
        path = relative(location, ANYWHERE)
        if is_within(location, ANYWHERE) and path in self.files and self.files[path].mode == LINK:
            path = self._behind(path)
        file = self.files.get(path) if is_within(location, ANYWHERE) else None
        return None if file is None else self._owner_of(path).read_blob(file.rev).decode("utf-8", "replace")

    def _behind(self, path: str) -> str:
        try:
            return follow_links(self.repository, self.rev, PurePosixPath(path))
        except LeavesTree:
            return ""

    def _owner_of(self, path: str) -> Repository:
        """Give the repository that holds a file: of submodules the innermost."""
        owners = [each for each in self.submodules if path.startswith(f"{each.path}/")]
        return Repository(max(owners, key=lambda each: len(each.path)).git_directory) if owners else self.repository

    def has(self, location: str) -> bool:
        """Tell whether a file or directory is there when the tree is checked out; what a link leads out to may be."""
        if not is_within(location, ANYWHERE):
            return False
        path = relative(location, ANYWHERE)
        if path in self._directories:
            return True
        places = [path, *_parents(path)]
        if not any(place in self.files and self.files[place].mode == LINK for place in places):
            return path in self.files
        try:
            behind = follow_links(self.repository, self.rev, PurePosixPath(path))
        except LeavesTree:
            return True
        return behind in self.files or behind in self._directories


def read_declared(tree: CapturedTree, project: Project, parsing: ParsingSettings) -> Contents:
    """Read what describes stages and data, in the order and with the exceptions of a walk through the checked-out tree."""
    root = locate(ANYWHERE, project.root)
    is_looked_at = _Visible(tree.workspace, project)
    pipelines: dict[str, Pipeline] = {}
    data_files: dict[str, DataFile] = {}
    for location in sorted(map(_location, filter(_describes, tree.files)), key=_walking_order):
        text = tree.read(location) if is_within(location, root) and is_looked_at(location) else None
        if text is None:
            continue
        path = relative(location, root)
        if is_pipeline_file(path):
            pipeline = parse_pipeline(text, StageFile(path=path, root=root), parsing, tree.read)
            if pipeline is None:
                continue
            check_alone(path, pipelines)
            pipelines[path] = pipeline
            is_looked_at.outputs.update(out.location for stage in pipeline.stages for out in stage.outs)
        else:
            data_files[path] = parse_data_file(text, path, root)
            is_looked_at.outputs.update(out.location for out in data_files[path].outs)
    stages = (stage for pipeline in pipelines.values() for stage in pipeline.stages)
    return Contents(pipelines=pipelines, data_files=data_files, nodes=(*stages, *data_files.values()))


class _Visible:
    """Which files DVC looks at: none that it or Git ignores, none inside an output."""

    def __init__(self, workspace: Path, project: Project) -> None:
        self.outputs: set[str] = set()
        self._workspace = str(workspace)
        self._dvcignore = DvcIgnore(locate(self._workspace, project.root))
        self._gitignore = GitIgnore(self._workspace)

    def __call__(self, location: str) -> bool:
        real = locate(self._workspace, relative(location, ANYWHERE))
        return not (
            any(directory in self.outputs for directory in ancestors(location))
            or self._dvcignore.ignores(real, is_directory=False)
            or self._gitignore.ignores(real, is_directory=False)
        )


def _location(path: str) -> str:
    return posixpath.join(ANYWHERE, path)


def _describes(path: str) -> bool:
    name = posixpath.basename(path)
    return is_pipeline_file(name) or (name.endswith(DATA_FILE_SUFFIX) and name != DATA_FILE_SUFFIX)


def _walking_order(location: str) -> tuple[list[str], bool, str]:
    directory, name = posixpath.split(location)
    return directory.split("/"), not is_pipeline_file(name), name


def _parents(path: str) -> list[str]:
    steps = path.split("/")
    return ["/".join(steps[:depth]) for depth in range(len(steps) - 1, 0, -1)]
