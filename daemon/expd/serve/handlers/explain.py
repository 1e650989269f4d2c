"""Explain: what a submission would take along, in pages; nothing is queued."""

from pathlib import Path

import trio

from expd.prepare.explanation import explain
from expd.prepare.project import find_project
from expd.serve.handlers.submit import new_file_limits
from expd.serve.refusals import Refused, shown_path
from expd.serve.services import Answer, Services
from expproto.errors import USAGE
from expproto.records import CaptureRecord
from expproto.replies import PAGE_FILES, CapturePage, Explained
from expproto.requests import Explain


async def handle(request: Explain, services: Services, answer: Answer) -> Explained:
    """Send every path that is taken, copied or left out."""
    records = await trio.to_thread.run_sync(_explain, request, services, limiter=services.git)
    for start in range(0, len(records), PAGE_FILES):
        await answer(CapturePage(files=tuple(records[start : start + PAGE_FILES])))
    return Explained(count=len(records))


def _explain(request: Explain, services: Services) -> list[CaptureRecord]:
    cwd = Path(request.cwd)
    if not cwd.is_absolute():
        raise Refused(USAGE, what="cwd is an absolute path")
    project = find_project(cwd, command=request.command)
    files = explain(request, project, new_file_limits(services.settings))
    return [CaptureRecord(path=shown_path(file.path), fate=file.fate, size=file.size) for file in files]
