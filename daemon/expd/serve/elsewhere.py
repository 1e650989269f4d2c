"""A submission for another host: where to, which variables go along, and whether its data can be had there."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from expd.distributed.messages import queue_of
from expd.gitio.repository import Repository
from expd.gitio.submodules import is_shallow, submodules_of
from expd.pipeline.config import read_config
from expd.pipeline.model import DATA_FILE_SUFFIX
from expd.prepare.environment import Environment
from expd.prepare.project import Project
from expd.queueing.entry import LOCAL
from expd.serve.refusals import Refused
from expd.settings import Settings
from expproto.errors import CANNOT_TRAVEL, USAGE
from expproto.requests import Submit
from expproto.vocabulary import Mode, Rev

_SHOWN_MAX = 20
"""Paths that a refusal lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Who executes a submission."""

    engine: str = LOCAL
    queue: str | None = None


def destination_of(request: Submit, settings: Settings) -> Destination:
    """Read where a submission is to run; Refused for what is no engine, or not set up."""
    if request.engine == LOCAL:
        if request.push_data is not None:
            raise Refused(USAGE, what="--data says what becomes of outputs on another host; it goes with --on")
        return Destination()
    engine, colon, queue = request.engine.partition(":")
    if engine != "celery":
        raise Refused(USAGE, what=f"--on {request.engine}: the engines are celery and, on this host, none")
    if settings.engines.celery is None:
        hint = "broker and hub in [engines.celery] of config.toml, then `expctl daemon stop`: docs/howto/celery.md"
        raise Refused(USAGE, what="no engine celery is set up", hint=hint)
    if request.mode is not Mode.QUEUE:
        raise Refused(USAGE, what="what runs at once runs here: other hosts take what is queued")
    try:
        queue_of(queue if colon else None)
    except ValueError as error:
        raise Refused(USAGE, what=f"--on {request.engine}: {error}") from None
    return Destination(engine=engine, queue=queue if colon else None)


def travelling(environment: Environment, named: Sequence[str], settings: Settings) -> Environment:
    """Give the variables that go to another host: those that were named, and those that the settings let go."""
    patterns = () if settings.engines.celery is None else settings.engines.celery.env
    chosen = set(named)
    return tuple(
        (name, value)
        for name, value in environment
        if os.fsdecode(name) in chosen or any(fnmatchcase(os.fsdecode(name), pattern) for pattern in patterns)
    )


def check_travel(project: Project, stash_rev: Rev, *, push_data: bool | None) -> bool:
    """Refuse what could not be had on another host; gives whether outputs are to be pushed. Blocks."""
    remote = read_config(project.location.workspace / project.root).default_remote
    repository = Repository(project.location.common_directory)
    tree = repository.tree_of(stash_rev)
    inside = list(submodules_of(repository, tree, project.location.workspace))
    shallow = [each.path for each in inside if is_shallow(each.git_directory)]
    shallow += ["."] if is_shallow(project.location.common_directory) else []
    if shallow:
        what = "a hub takes no commit without its history"
        raise Refused(
            CANNOT_TRAVEL, what=what, paths=shallow[:_SHOWN_MAX], hint="git fetch --unshallow, in each of them"
        )
    if remote is None and push_data:
        raise Refused(CANNOT_TRAVEL, what="there is no default DVC remote to push outputs to", paths=[], hint=_REMOTE)
    data = _data_files(repository, tree, project.root)
    if remote is None and data:
        what = "another host has no way to this data: the project has no default DVC remote"
        raise Refused(CANNOT_TRAVEL, what=what, paths=data[:_SHOWN_MAX], hint=_REMOTE)
    return remote is not None if push_data is None else push_data


_REMOTE = "dvc remote add --default NAME URL, then dvc push"


def _data_files(repository: Repository, tree: Rev, root: str) -> list[str]:
    prefix = "" if root == "." else f"{root}/"
    names = (path for path in repository.files_of(tree) if path.startswith(prefix))
    return sorted(path for path in names if path.endswith(DATA_FILE_SUFFIX) and Path(path).name != DATA_FILE_SUFFIX)
