"""Doctor: the daemon's own state and the repository at a directory, looked through, and mended where that is wanted."""

from pathlib import Path

import trio

from expd.gitio.errors import NotARepository
from expd.gitio.locate import Location, locate
from expd.serve.services import Answer, Services
from expd.upkeep.examining import Examination, Premises
from expproto.replies import FINDINGS_MAX, Examined
from expproto.requests import Doctor


async def handle(request: Doctor, services: Services, _answer: Answer) -> Examined:
    """Examine; a directory that is in no repository is no fault."""
    location = await trio.to_thread.run_sync(_repository_at, request.cwd, limiter=services.git)
    premises = Premises(
        state_directory=services.state_directory,
        socket_path=services.socket_path,
        started_at=services.started_at,
    )
    examination = Examination(services.store, services.recovery, services.settings, premises, location, fix=request.fix)
    findings = await examination.run()
    return Examined(
        findings=tuple(findings[:FINDINGS_MAX]),
        count=len(findings),
        repository=None if location is None else str(location.workspace),
    )


def _repository_at(cwd: str) -> Location | None:
    try:
        return locate(Path(cwd))
    except NotARepository:
        return None
