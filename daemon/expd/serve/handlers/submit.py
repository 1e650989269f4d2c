"""Submit: the workspace is captured, the entries are on disk, and only then is it acknowledged."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from expd.dispatch.orders import pack_environment
from expd.gitio.locate import Location, locate
from expd.gitio.repository import Repository
from expd.linux.scopes import CPU, MEMORY, hindrance
from expd.prepare.environment import allowed
from expd.prepare.newfiles import LeftOut, NewFileLimits
from expd.prepare.project import Project, find_project
from expd.prepare.source import UnusableSource, find_project_in
from expd.prepare.submission import Circumstances, Prepared, prepare
from expd.queueing.entry import LOCAL, Entry, NewEntry, Submission
from expd.queueing.writing import NameTaken
from expd.serve.elsewhere import check_travel, destination_of, travelling
from expd.serve.entries import find_dependencies, send_entries
from expd.serve.experiments import find_experiment
from expd.serve.holding import holding
from expd.serve.living import LivingNames
from expd.serve.memory import give_back_after
from expd.serve.refusals import Refused, shown_path
from expd.serve.services import Answer, Services
from expd.settings import Settings
from expproto.errors import STOPPING, USAGE
from expproto.limits import RunLimits, senseless_limit
from expproto.place import ANYWHERE, senseless_place
from expproto.records import LeftOutFile, PointRecord, UnkeptLimit
from expproto.replies import (
    LEFT_OUT_MAX,
    PAGE_ENTRIES,
    PointPage,
    Previewed,
    Submitted,
)
from expproto.requests import Import, Submit, Verify
from expproto.retries import senseless_retries
from expproto.stage_options import contradiction, names_pipelines
from expproto.vocabulary import Mode, Rev

_journal = logging.getLogger("expd.serve")

_NAMINGS_MAX = 5
"""Tries to name an unnamed entry when another submission takes the random name first."""
_REQUEST_ID_CHARS = range(8, 65)


async def handle(request: Submit, services: Services, answer: Answer) -> Submitted | Previewed:
    """Queue a submission; the same request id again gives the entries of the first time."""
    reply = await _handle(request, services, answer)
    await give_back_after(reply.count, services.git)
    return reply


async def _handle(request: Submit, services: Services, answer: Answer) -> Submitted | Previewed:
    check_request(request)
    _check(request)
    _check_source(request)
    destination = destination_of(request, services.settings)
    environment = allowed(request.environment, services.settings.env_deny)
    if destination.engine != LOCAL:
        environment = travelling(environment, request.travelling, services.settings)
    request = replace(request, environment=environment)
    if request.preview:
        return await _preview(request, services, answer)
    accepted = await services.store.accepted_before(request.request_id)
    left_out: tuple[LeftOut, ...] = ()
    if not accepted:
        if services.is_stopping():
            raise Refused(STOPPING)
        accepted, left_out = await accept(request, services)
    await send_entries(services, accepted, answer)
    return Submitted(
        submission=accepted[0].submission_id,
        count=len(accepted),
        left_out=tuple(LeftOutFile(path=shown_path(file.path), reason=file.reason) for file in left_out[:LEFT_OUT_MAX]),
        left_out_count=len(left_out),
        unkept=_unkept(request.limits) if destination.engine == LOCAL else (),
    )


def _unkept(limits: RunLimits) -> tuple[UnkeptLimit, ...]:
    """Say which limits the kernel does not keep here, and why."""
    given = {"mem": (limits.memory_bytes, MEMORY), "cpus": (limits.cpus, CPU)}
    found = {name: hindrance(controller) for name, (limit, controller) in given.items() if limit is not None}
    return tuple(UnkeptLimit(limit=name, why=code) for name, code in found.items() if code is not None)


async def _preview(request: Submit, services: Services, answer: Answer) -> Previewed:
    """Say what would be queued, after everything that could refuse it has been asked."""
    source = await _find_source(request, services)
    project = await find_project_for(request, source, services)
    prepared = await prepare_for(request, project, source, services, held_as="")  # nothing is held
    points = [PointRecord(name=point.name, params=point.params) for point in prepared.points]
    for start in range(0, len(points), PAGE_ENTRIES):
        await answer(PointPage(points=tuple(points[start : start + PAGE_ENTRIES])))
    return Previewed(count=len(points))


def check_request(request: Submit | Import | Verify) -> None:
    """Refuse what no submission can be: its id, its directory, its environment."""
    if len(request.request_id) not in _REQUEST_ID_CHARS or not request.request_id.isalnum():
        raise Refused(USAGE, what="a request id is 8 to 64 letters and digits")
    if not 0 <= request.umask <= 0o777:
        raise Refused(USAGE, what="a umask is between 0 and 0o777")
    if not Path(request.cwd).is_absolute():
        raise Refused(USAGE, what="cwd is an absolute path")
    if any(not name or b"=" in name or b"\0" in name + value for name, value in request.environment):
        raise Refused(USAGE, what="a variable's name is not empty and has no =, and no variable holds a NUL")


def _check(request: Submit) -> None:
    if "\0" in "".join((request.message or "", *(request.command or ()))):
        raise Refused(USAGE, what="a command and a message hold no NUL")
    if request.command is not None and not request.command:
        raise Refused(USAGE, what="there is no command after --")
    if request.declared is not None and request.command is None:
        raise Refused(USAGE, what="what is declared is declared of a command")
    if request.place != ANYWHERE and request.mode is not Mode.QUEUE:
        raise Refused(USAGE, what="what runs at once has no place in the queue")
    if request.on_hold and request.mode is not Mode.QUEUE:
        raise Refused(USAGE, what="what runs at once can't be held")
    if any(number is not None and number < 1 for number in (request.sample, request.max_failures)):
        raise Refused(USAGE, what="a sample has at least one point, and at least one failure stops a sweep")
    _check_stage_options(request)


def _check_stage_options(request: Submit) -> None:
    alone = request.command if request.declared is None else None  # what is declared makes it a stage
    problem = contradiction(request.stage_options, request.targets, alone) or senseless_limit(request.limits)
    problem = problem or senseless_retries(request.retries) or senseless_place(request.place)
    if problem:
        raise Refused(USAGE, what=problem)
    if request.retries.retries and request.mode is Mode.WORKSPACE:
        what = "a run in the workspace is not run again by itself: what it found there may be there no more"
        raise Refused(USAGE, what=what, hint="run it in a worktree: expctl run --temp, expctl submit")


def _check_source(request: Submit) -> None:
    if request.source is None:
        return
    if request.include or request.copy_paths:
        raise Refused(USAGE, what="--from reads nothing of the workspace, so that there is nothing to include or copy")
    if request.mode is Mode.WORKSPACE:
        raise Refused(USAGE, what="a commit is not run in the workspace", hint="expctl submit --from REV")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a submission is made of, where that is no workspace: an entry's stash commit with other parameters.

    `verifies` is the experiment that is repeated, if that is what it is for.
    """

    variant_of: Entry | None = None
    verifies: Rev | None = None


WORKSPACE = Origin()


async def accept(
    request: Submit, services: Services, origin: Origin = WORKSPACE
) -> tuple[list[Entry], tuple[LeftOut, ...]]:
    """Capture and queue what is not queued yet."""
    variant_of = origin.variant_of
    source = await _find_source(request, services) if variant_of is None else variant_of.stash_rev
    project = await find_project_for(request, source, services)
    for attempt in range(_NAMINGS_MAX):
        try:
            return await _accept_once(request, project, source, services, origin)
        except NameTaken:
            if request.name or attempt == _NAMINGS_MAX - 1:
                raise
    raise AssertionError("the last naming either succeeds or raises")


async def _find_source(request: Submit, services: Services) -> Rev | None:
    """Find the commit that is to be run instead of the workspace: an entry's result, or else its stash commit."""
    if request.source is None:
        return None
    named = await find_experiment(services, request.source, request.cwd)
    location = await trio.to_thread.run_sync(locate, Path(request.cwd), limiter=services.git)
    if named.entry is not None and named.entry.submission.git_directory != str(location.common_directory):
        pushed = await trio.to_thread.run_sync(_commit_here, location, request.source, limiter=services.git)
        if pushed is not None:
            return pushed
        what = f"it is entry {named.entry.id} of {named.entry.submission.workspace}, another repository than this"
        raise UnusableSource(request.source, what, "push its rev here with git, or `expctl export` it")
    return named.rev or (None if named.entry is None else named.entry.stash_rev)


def _commit_here(location: Location, text: str) -> Rev | None:
    """Find a commit that came from another repository of the same user: its rev is that of an entry there."""
    return Repository(location.git_directory).resolve_commit(text)


async def find_project_for(request: Submit, source: Rev | None, services: Services) -> Project:
    """Find the project of a submission, in the workspace or in the commit that is run instead of it."""
    cwd, is_named = Path(request.cwd), names_pipelines(request.stage_options, request.targets)
    if source is not None:
        find = partial(find_project_in, cwd, source, command=request.command, is_pipeline_named=is_named)
    else:
        find = partial(find_project, cwd, command=request.command, is_pipeline_named=is_named)
    return await trio.to_thread.run_sync(find, limiter=services.git)


async def _accept_once(
    request: Submit, project: Project, source: Rev | None, services: Services, origin: Origin
) -> tuple[list[Entry], tuple[LeftOut, ...]]:
    """Capture and queue; whatever prevents the second, nothing is held of the first."""
    async with holding(request.request_id, project.location.git_directory, services) as held:
        is_variant = origin.variant_of is not None
        prepared = await prepare_for(request, project, source, services, held.name, is_variant=is_variant)
        after = await find_dependencies(services, request.place.after, request.cwd)
        submission = replace(_submission(request, project, prepared, held.name), verifies=origin.verifies, after=after)
        if origin.variant_of is not None:
            submission = _as_before(submission, origin.variant_of)
        destination = destination_of(request, services.settings)
        if destination.engine != LOCAL:
            check = partial(check_travel, project, prepared.points[0].stash_rev, push_data=request.push_data)
            pushes = await trio.to_thread.run_sync(check, limiter=services.git)
            submission = replace(
                submission, engine=destination.engine, engine_queue=destination.queue, pushes_data=pushes
            )
        accepted = await services.store.accept(submission, _entries(prepared, origin.variant_of))
        held.is_accepted = True
    return accepted, prepared.left_out


async def prepare_for(
    request: Submit,
    project: Project,
    source: Rev | None,
    services: Services,
    held_as: str,
    *,
    is_variant: bool = False,
) -> Prepared:
    """Prepare a submission; its commits are held under a name, or with an empty one not at all."""
    circumstances = Circumstances(
        at=time.time(),
        rng=services.rng,
        points_max=services.settings.sweep_points_max,
        new_files=new_file_limits(services.settings),
        living_names=LivingNames(services.store, str(project.location.common_directory)),
        source=source,
        held_as=held_as,
        is_variant=is_variant,
    )
    return await trio.to_thread.run_sync(prepare, request, project, circumstances, limiter=services.git)


def new_file_limits(settings: Settings) -> NewFileLimits:
    """Give what may be new, as the user has set it."""
    return NewFileLimits(
        file_bytes_max=settings.new_file_bytes_max,
        bytes_max=settings.new_files_bytes_max,
        count_max=settings.new_files_max,
    )


def _submission(request: Submit, project: Project, prepared: Prepared, held_as: str) -> Submission:
    return Submission(
        request_id=request.request_id,
        held_as=held_as,
        git_directory=str(project.location.common_directory),
        workspace=str(project.location.workspace),
        root=project.root,
        directory=project.directory,
        cache=str(project.cache),
        baseline_rev=prepared.baseline_rev,
        message=request.message,
        command=request.command,
        targets=prepared.targets,
        force=request.force,
        umask=request.umask,
        environment=pack_environment(request.environment),
        submitted_at=prepared.captured_at,
        captured_tree=prepared.captured_tree,
        mode=request.mode,
        name=request.name,
        on_hold=request.on_hold,
        copies=prepared.copies,
        as_stage=prepared.as_stage,
        stage_options=request.stage_options,
        limits=request.limits,
        retries=request.retries,
        place=request.place,
        max_failures=request.max_failures,
    )


def _as_before(new: Submission, variant: Entry) -> Submission:
    """Give a variant: what was captured and when, and who asked, are new; all the rest is as it was submitted before."""
    return replace(
        variant.submission,
        request_id=new.request_id,
        held_as=new.held_as,
        baseline_rev=new.baseline_rev,
        captured_tree=new.captured_tree,
        submitted_at=new.submitted_at,
        environment=new.environment,
        place=variant.place,
        name=new.name,
        mode=new.mode,
        on_hold=new.on_hold,
    )


def _entries(prepared: Prepared, variant_of: Entry | None) -> list[NewEntry]:
    before: Mapping[str, object] = {} if variant_of is None else variant_of.params
    return [
        NewEntry(name=point.name, stash_rev=point.stash_rev, params={**before, **point.params})
        for point in prepared.points
    ]
