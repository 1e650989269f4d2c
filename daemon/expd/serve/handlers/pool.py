"""Pause, Resume, SetJobs and groups: the pool, live; its settings outlive the daemon."""

from expd.queueing.schedule import GroupState, PoolState
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import USAGE
from expproto.place import DEFAULT_GROUP, senseless_group
from expproto.records import GroupRecord
from expproto.replies import PoolShown
from expproto.steering import AddGroup, Pause, RemoveGroup, Resume, SetJobs

JOBS_MAX = 1024
"""Runs at once: each has a worker process of some 60 MB."""


async def handle_pause(request: Pause, services: Services, _answer: Answer) -> PoolShown:
    """Start nothing more, of a group or of all; what runs may be frozen."""
    return _shown(services, await services.pool.pause(request.group, freezes=request.freeze))


async def handle_resume(request: Resume, services: Services, _answer: Answer) -> PoolShown:
    """Start entries again."""
    return _shown(services, await services.pool.unpause(request.group))


async def handle_jobs(request: SetJobs, services: Services, _answer: Answer) -> PoolShown:
    """Set how many runs of a group may be active at once, or only tell."""
    pool = await services.store.pool()
    if request.jobs is None and request.change is None:
        return _shown(services, pool)
    if request.jobs is not None and request.change is not None:
        raise Refused(USAGE, what="jobs are a number, or a change of it")
    group = request.group or DEFAULT_GROUP
    present = next((each.jobs for each in pool.groups if each.name == group), 0)
    jobs = request.jobs if request.jobs is not None else present + (request.change or 0)
    if request.change is not None and jobs < 1:
        raise Refused(USAGE, what=f"of {present} that would leave none", hint="expctl pause starts nothing more")
    _check_jobs(jobs)
    return _shown(services, await services.store.set_jobs(jobs, group))


async def handle_add_group(request: AddGroup, services: Services, _answer: Answer) -> PoolShown:
    """Make a group with slots of its own, or give one that is there other slots."""
    if what := senseless_group(request.name):
        raise Refused(USAGE, what=what)
    _check_jobs(request.jobs)
    return _shown(services, await services.store.add_group(request.name, request.jobs))


async def handle_remove_group(request: RemoveGroup, services: Services, _answer: Answer) -> PoolShown:
    """Take a group away that nothing waits or runs in."""
    return _shown(services, await services.store.remove_group(request.name))


def _check_jobs(jobs: int) -> None:
    if not 0 <= jobs <= JOBS_MAX:
        raise Refused(USAGE, what=f"jobs is between 0 and {JOBS_MAX}")


def _shown(services: Services, pool: PoolState) -> PoolShown:
    return PoolShown(
        jobs=pool.jobs,
        paused=pool.paused,
        running=pool.active,
        queued=pool.all_queued,
        trouble=services.pool.trouble,
        groups=tuple(map(_record_of, pool.groups)),
        frozen=pool.frozen,
    )


def _record_of(group: GroupState) -> GroupRecord:
    return GroupRecord(
        name=group.name, jobs=group.jobs, paused=group.paused, running=group.running, queued=group.queued
    )
