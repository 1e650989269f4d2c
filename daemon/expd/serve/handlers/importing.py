"""Import: the entries of an export, checked whole, are queued or held here, with the environment of who imports them."""

import time
from pathlib import Path

import trio

from expd.dispatch.orders import pack_environment
from expd.gitio.locate import locate
from expd.prepare.environment import allowed
from expd.prepare.parcels import Imported, import_entries
from expd.queueing.entry import Entry, NewEntry, Submission
from expd.serve.entries import send_entries
from expd.serve.handlers.submit import check_request
from expd.serve.holding import holding
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import STOPPING
from expproto.replies import Submitted
from expproto.requests import Import


async def handle(request: Import, services: Services, answer: Answer) -> Submitted:
    """Queue what a file holds; the same request id again gives the entries of the first time."""
    check_request(request)
    accepted = await services.store.accepted_before(request.request_id)
    if not accepted:
        if services.is_stopping():
            raise Refused(STOPPING)
        accepted = await _accept(request, services)
    await send_entries(services, accepted, answer)
    return Submitted(submission=accepted[0].submission_id, count=len(accepted))


async def _accept(request: Import, services: Services) -> list[Entry]:
    """Store and queue; whatever prevents the second, nothing is held of the first."""
    location = await trio.to_thread.run_sync(locate, Path(request.cwd), limiter=services.git)
    limit = services.settings.sweep_points_max
    async with holding(request.request_id, location.git_directory, services) as held:
        found = await trio.to_thread.run_sync(
            import_entries, location, Path(request.file), held.name, limit, limiter=services.git
        )
        points = found.manifest.entries
        entries = [NewEntry(name=each.name, stash_rev=each.stash_rev, params=each.params) for each in points]
        accepted = await services.store.accept(_submission(request, found, services, held.name), entries)
        held.is_accepted = True
    return accepted


def _submission(request: Import, found: Imported, services: Services, held_as: str) -> Submission:
    manifest, project = found.manifest, found.project
    environment = allowed(request.environment, services.settings.env_deny)
    return Submission(
        request_id=request.request_id,
        held_as=held_as,
        git_directory=str(project.location.common_directory),
        workspace=str(project.location.workspace),
        root=project.root,
        directory=project.directory,
        cache=str(project.cache),
        baseline_rev=manifest.baseline_rev,
        message=manifest.message,
        command=manifest.command,
        targets=manifest.targets,
        force=manifest.force,
        umask=request.umask,
        environment=pack_environment(environment),
        submitted_at=time.time(),
        captured_tree=found.captured_tree,
        name=manifest.name,
        on_hold=request.on_hold,
        as_stage=manifest.as_stage,
        stage_options=manifest.stage_options,
        limits=manifest.limits,
        retries=manifest.retries,
    )
