"""Get: files of an experiment into a directory the client names; the workspace is not touched."""

from pathlib import Path

import trio

from expd.collect.fetching import Fetch, fetch
from expd.serve.experiments import NamedExperiment, find_experiment
from expd.serve.projects import ResultMemory, open_project_at
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import USAGE, WRONG_STATE
from expproto.replies import Fetched
from expproto.requests import Get


async def handle(request: Get, services: Services, _answer: Answer) -> Fetched:
    """Write what an experiment made, or the paths named, below a directory."""
    if not Path(request.directory).is_absolute() or "\0" in request.directory:
        raise Refused(USAGE, what="the directory is an absolute path")
    named = await find_experiment(services, request.experiment, request.cwd)
    if named.rev is None:
        assert named.entry is not None
        raise Refused(WRONG_STATE, entry=named.entry.id, state=named.entry.state, what="it has no result")
    files = await trio.to_thread.run_sync(_fetch, named, request, services.results, limiter=services.git)
    return Fetched(directory=request.directory, files=tuple(files))


def _fetch(named: NamedExperiment, request: Get, memory: ResultMemory) -> list[str]:
    assert named.rev is not None
    opened = open_project_at(named.cwd, memory)
    results = opened.results_of(named.rev, named.baseline_rev)
    order = Fetch(
        commit=named.rev,
        root=opened.project.root,
        paths=request.paths,
        directory=Path(request.directory),
        force=request.force,
    )
    return fetch(opened.repository, results.paths, opened.cache(), order)
