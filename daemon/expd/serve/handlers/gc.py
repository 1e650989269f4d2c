"""Gc: what the rules of retention give up is removed now, or only told."""

from expd.serve.services import Answer, Services
from expproto.replies import GARBAGE_MAX, GarbageCollected
from expproto.requests import Gc


async def handle(request: Gc, services: Services, _answer: Answer) -> GarbageCollected:
    """Collect garbage in the state directory and in every repository that is known."""
    garbage, problems = await services.collector.collect(is_dry=request.dry_run)
    return GarbageCollected(
        garbage=tuple(garbage[:GARBAGE_MAX]),
        count=len(garbage),
        size=sum(each.size for each in garbage),
        problems=tuple(problems[:GARBAGE_MAX]),
    )
