"""What can be known to go wrong is refused at submit, not found out at run time."""

import posixpath
from collections.abc import Sequence
from pathlib import Path

from expd.gitio.repository import Repository
from expd.pipeline.config import read_config
from expd.pipeline.dvcyaml import parse_pipeline
from expd.pipeline.graph import build_graph
from expd.pipeline.locations import is_within, relative
from expd.pipeline.model import PROJECT_FILE, Pipeline, PipelineError, TargetError
from expd.pipeline.stages import StageFile
from expd.prepare.project import Project
from expproto.vocabulary import Rev

_ANYWHERE = "/project"
"""Stands for the project's root: the pipeline is read from a tree, and nothing is opened."""


def check_pipeline(repository: Repository, tree: Rev, project: Project, targets: Sequence[str]) -> None:
    """Read dvc.yaml as it would run; raises PipelineError for its form, its graph, or a target it does not have."""
    prefix = "" if project.root == "." else f"{project.root}/"
    path = posixpath.normpath(posixpath.join(posixpath.relpath(project.directory, project.root), PROJECT_FILE))

    def read(location: str) -> str | None:
        if not is_within(location, _ANYWHERE):
            return None
        data = repository.read_file(tree, prefix + relative(location, _ANYWHERE))
        return None if data is None else data.decode("utf-8", "replace")

    text = read(posixpath.join(_ANYWHERE, path))
    if text is None:
        raise PipelineError(
            path=path, expected="a file that Git does not ignore", hint="what is ignored is not captured"
        )
    parsing = read_config(Path(project.location.workspace, project.root)).parsing
    pipeline = parse_pipeline(text, StageFile(path=path, root=_ANYWHERE), parsing, read)
    build_graph(pipeline.stages, _ANYWHERE)
    _check_targets(pipeline, targets, path)


def _check_targets(pipeline: Pipeline, targets: Sequence[str], path: str) -> None:
    """A bare name must be a stage or group of this dvc.yaml; what names another file is looked up at run time."""
    known = {stage.name for stage in pipeline.stages} | set(pipeline.groups)
    for target in targets:
        is_bare = not any(mark in target for mark in ":/") and not target.endswith((".dvc", ".yaml"))
        if is_bare and target not in known:
            hint = f"there are {', '.join(sorted(known)) or 'none'}"
            raise TargetError(path=path, expected=f"a stage named {target}", hint=hint)
