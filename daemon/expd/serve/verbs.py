"""One line a verb: which handler answers which request. The checker holds it complete."""

from expd.serve.handlers import (
    cancel,
    daemon,
    doctor,
    engines,
    explain,
    export,
    follow,
    gc,
    get,
    importing,
    inspect,
    pool,
    release,
    remove,
    rename,
    restore,
    resume,
    retry,
    show,
    status,
    steering,
    submit,
    verify,
    wait,
    why,
)
from expd.serve.services import Answer, Services
from expproto.replies import Reply
from expproto.requests import (
    AskDaemon,
    Cancel,
    Doctor,
    Engines,
    Explain,
    Export,
    Follow,
    Gc,
    Get,
    Import,
    Inspect,
    Release,
    Remove,
    Rename,
    Request,
    Restore,
    ResumeRuns,
    Retry,
    Show,
    Status,
    Stop,
    Submit,
    Verify,
    Wait,
    Why,
)
from expproto.steering import AddGroup, EditEntries, Hold, Move, Pause, RemoveGroup, Resume, RunNow, SetJobs

Steering = (
    Hold | RunNow | EditEntries | Move | AddGroup | RemoveGroup | Pause | Resume | SetJobs | Engines | AskDaemon | Stop
)
"""What is asked of the pool and the daemon, or of the place of entries in the queue."""


AboutEntries = (
    Submit
    | Explain
    | Status
    | Show
    | Inspect
    | Why
    | Get
    | Follow
    | Wait
    | Cancel
    | Release
    | Export
    | Import
    | Retry
    | ResumeRuns
    | Verify
    | Remove
    | Rename
    | Restore
    | Doctor
    | Gc
)
"""What makes entries, asks about them, or does something with them and their results."""


async def handle(request: Request, services: Services, answer: Answer) -> Reply:
    """Answer one request; what comes before its reply goes to `answer`."""
    if isinstance(request, Steering):
        return await _steer(request, services, answer)
    return await _handle(request, services, answer)


async def _handle(request: AboutEntries, services: Services, answer: Answer) -> Reply:  # noqa: C901, PLR0912 - one line a verb
    match request:
        case Submit():
            return await submit.handle(request, services, answer)
        case Explain():
            return await explain.handle(request, services, answer)
        case Status():
            return await status.handle(request, services, answer)
        case Show():
            return await show.handle(request, services, answer)
        case Inspect():
            return await inspect.handle(request, services, answer)
        case Why():
            return await why.handle(request, services, answer)
        case Get():
            return await get.handle(request, services, answer)
        case Follow():
            return await follow.handle(request, services, answer)
        case Wait():
            return await wait.handle(request, services, answer)
        case Cancel():
            return await cancel.handle(request, services, answer)
        case Release():
            return await release.handle(request, services, answer)
        case Export():
            return await export.handle(request, services, answer)
        case Import():
            return await importing.handle(request, services, answer)
        case Retry():
            return await retry.handle(request, services, answer)
        case ResumeRuns():
            return await resume.handle(request, services, answer)
        case Verify():
            return await verify.handle(request, services, answer)
        case Remove():
            return await remove.handle(request, services, answer)
        case Rename():
            return await rename.handle(request, services, answer)
        case Restore():
            return await restore.handle(request, services, answer)
        case Doctor():
            return await doctor.handle(request, services, answer)
        case Gc():
            return await gc.handle(request, services, answer)


async def _steer(request: Steering, services: Services, answer: Answer) -> Reply:  # noqa: C901 - one line a verb
    match request:
        case Hold():
            return await steering.handle_hold(request, services, answer)
        case RunNow():
            return await steering.handle_run_now(request, services, answer)
        case EditEntries():
            return await steering.handle_edit(request, services, answer)
        case Move():
            return await steering.handle_move(request, services, answer)
        case AddGroup():
            return await pool.handle_add_group(request, services, answer)
        case RemoveGroup():
            return await pool.handle_remove_group(request, services, answer)
        case Pause():
            return await pool.handle_pause(request, services, answer)
        case Resume():
            return await pool.handle_resume(request, services, answer)
        case SetJobs():
            return await pool.handle_jobs(request, services, answer)
        case Engines():
            return await engines.handle(request, services, answer)
        case AskDaemon():
            return await daemon.handle_ask(request, services, answer)
        case Stop():
            return await daemon.handle_stop(request, services, answer)
