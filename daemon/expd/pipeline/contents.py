"""Every dvc.yaml and `.dvc` file of a project, read and connected.

Promise: read once, in a fixed order; the first faulty file is an error.
"""

import posixpath
from dataclasses import dataclass
from pathlib import Path

from expd.pipeline.config import ParsingSettings
from expd.pipeline.datafiles import parse_data_file
from expd.pipeline.discovery import Discovery
from expd.pipeline.dvcignore import IGNORE_FILE, DvcIgnore
from expd.pipeline.dvcyaml import parse_pipeline
from expd.pipeline.gitignore import GitIgnore
from expd.pipeline.graph import Node
from expd.pipeline.model import DATA_FILE_SUFFIX, PROJECT_FILE, DataFile, Output, Pipeline, PipelineError, Stage
from expd.pipeline.projectfile import check_alone, is_pipeline_file
from expd.pipeline.stages import StageFile
from expd.pipeline.textfiles import read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a project declares, by path from the root."""

    pipelines: dict[str, Pipeline]
    data_files: dict[str, DataFile]
    nodes: tuple[Node, ...]


def read_contents(root: str, ignore: DvcIgnore, gitignore: GitIgnore, parsing: ParsingSettings) -> Contents:
    """Walk the project and read what describes stages and data."""
    reader = _Reader(root, ignore, parsing)
    Discovery(root, ignore, gitignore).walk(reader.read)
    return Contents(pipelines=reader.pipelines, data_files=reader.data_files, nodes=tuple(reader.nodes))


class _Reader:
    """Collects what one walk finds."""

    def __init__(self, root: str, ignore: DvcIgnore, parsing: ParsingSettings) -> None:
        self._root = root
        self._ignore = ignore
        self._parsing = parsing
        self.pipelines: dict[str, Pipeline] = {}
        self.data_files: dict[str, DataFile] = {}
        self.nodes: list[Node] = []

    def read(self, path: str) -> list[str]:
        """Read one file; the locations of the outputs it declares."""
        text = read_text(Path(self._root, path))
        outs: list[Output] = []
        if is_pipeline_file(path):
            pipeline = parse_pipeline(text, StageFile(path=path, root=self._root), self._parsing, read_if_there)
            if pipeline is None:
                return []
            check_alone(path, self.pipelines)
            for stage in pipeline.stages:
                _check_paths(stage, self._ignore)
            self.pipelines[path] = pipeline
            self.nodes.extend(pipeline.stages)
            outs.extend(out for stage in pipeline.stages for out in stage.outs)
        else:
            data_file = parse_data_file(text, path, self._root)
            self.data_files[path] = data_file
            self.nodes.append(data_file)
            outs.extend(data_file.outs)
        return [out.location for out in outs]


def _check_paths(stage: Stage, ignore: DvcIgnore) -> None:
    """Refuse files of DVC as inputs and outputs, and outputs that nobody would look at (dvc/output.py)."""
    for what, paths in (("a dependency", stage.reads), ("an output", stage.outs)):
        for one in paths:
            if one.path.endswith(DATA_FILE_SUFFIX) or posixpath.basename(one.path) == PROJECT_FILE:
                raise PipelineError(
                    path=stage.dvcyaml, expected=f"no file of DVC as {what}: {one.path}", stages=(stage.address,)
                )
    for out in stage.outs:
        if ignore.ignores(out.location, is_directory=Path(out.location).is_dir()):
            raise PipelineError(
                path=stage.dvcyaml,
                expected=f"an output that {IGNORE_FILE} does not exclude: {out.path}",
                hint="`.git`, `.hg` and `.dvc` are always excluded",
                stages=(stage.address,),
            )


def read_if_there(location: str) -> str | None:
    """The text of a file that interpolation names; None if there is no such file."""
    file = Path(location)
    return read_text(file) if file.is_file() else None
