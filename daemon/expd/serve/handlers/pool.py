"""Pause, Resume, SetJobs: the pool, live; its settings outlive the daemon."""

from expd.queueing.schedule import PoolState
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import USAGE
from expproto.replies import PoolShown
from expproto.requests import Pause, Resume, SetJobs

JOBS_MAX = 1024
"""Runs at once: each has a worker process of some 60 MB."""


async def handle_pause(_request: Pause, services: Services, _answer: Answer) -> PoolShown:
    """Start nothing more."""
    return _shown(services, await services.store.set_paused(paused=True))


async def handle_resume(_request: Resume, services: Services, _answer: Answer) -> PoolShown:
    """Start entries again."""
    return _shown(services, await services.store.set_paused(paused=False))


async def handle_jobs(request: SetJobs, services: Services, _answer: Answer) -> PoolShown:
    """Set how many runs may be active at once, or only tell."""
    if request.jobs is None:
        return _shown(services, await services.store.pool())
    if not 0 <= request.jobs <= JOBS_MAX:
        raise Refused(USAGE, what=f"jobs is between 0 and {JOBS_MAX}")
    return _shown(services, await services.store.set_jobs(request.jobs))


def _shown(services: Services, pool: PoolState) -> PoolShown:
    return PoolShown(
        jobs=pool.jobs,
        paused=pool.paused,
        running=pool.active,
        queued=pool.queued + pool.immediate + pool.deferred,
        trouble=services.pool.trouble,
    )
