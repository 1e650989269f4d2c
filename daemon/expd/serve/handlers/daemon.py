"""AskDaemon and Stop: who answers, and its end."""

import os

from expd.serve.services import Answer, Services
from expproto import PROTOCOL_VERSION, VERSION
from expproto.replies import DaemonShown, Stopping
from expproto.requests import AskDaemon, Stop


async def handle_ask(_request: AskDaemon, services: Services, _answer: Answer) -> DaemonShown:
    """Tell who answers."""
    pool = await services.store.pool()
    return DaemonShown(
        pid=os.getpid(),
        version=VERSION,
        protocol=PROTOCOL_VERSION,
        socket=str(services.socket_path),
        state_directory=str(services.state_directory),
        started_at=services.started_at,
        running=pool.active,
        queued=pool.all_queued,
        jobs=pool.jobs,
        paused=pool.paused,
        trouble=services.pool.trouble,
    )


async def handle_stop(request: Stop, services: Services, _answer: Answer) -> Stopping:
    """Begin the end; the connection closes when it has come."""
    running = (await services.store.pool()).active
    services.stop(request.ending)
    return Stopping(running=running)
