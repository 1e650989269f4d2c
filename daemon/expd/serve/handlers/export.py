"""Export: an entry, or a whole sweep, as one file that another clone imports; nothing is written over."""

import os
from collections.abc import Sequence
from pathlib import Path

import trio

from expd.gitio.refs import ENTRIES
from expd.gitio.repository import Repository
from expd.prepare.capture import captured_by
from expd.prepare.manifest import VERSION, Manifest, ManifestEntry, UnusableExport
from expd.prepare.parcels import export
from expd.queueing.entry import Entry
from expd.serve.entries import find_entries
from expd.serve.refusals import Refused
from expd.serve.services import Answer, Services
from expproto.errors import AMBIGUOUS_ENTRY, FILE_EXISTS, UNKNOWN_ENTRY, USAGE
from expproto.replies import Exported
from expproto.requests import Export


async def handle(request: Export, services: Services, _answer: Answer) -> Exported:
    """Write one file."""
    if not os.path.isabs(request.file) or "\0" in request.file:  # noqa: PTH117 - a Path can't hold every text
        raise Refused(USAGE, what="the file is named by an absolute path")
    entries = await find_entries(services, [request.entry], request.cwd)
    submission = entries[0].submission
    if len({entry.submission_id for entry in entries}) > 1:
        candidates = [f"{entry.id} {entry.name}" for entry in entries]
        raise Refused(AMBIGUOUS_ENTRY, selector=request.entry, candidates=candidates)
    if submission.copies is not None:
        what = f"{request.entry} was submitted with -C: what was copied along is in no commit, and so in no export"
        raise Refused(USAGE, what=what, hint="let Git or DVC track those files and submit again")
    try:
        size = await trio.to_thread.run_sync(_export, request, entries, limiter=services.git)
    except FileExistsError:
        raise Refused(FILE_EXISTS, path=request.file, hint="name another file, or remove it") from None
    return Exported(file=request.file, size=size, count=len(entries), baseline_rev=submission.baseline_rev)


def _export(request: Export, entries: Sequence[Entry]) -> int:
    submission = entries[0].submission
    if Path(request.file).exists():
        raise FileExistsError
    repository = Repository(Path(submission.git_directory))
    kept = captured_by(repository, submission.held_as, entries[0].stash_rev)
    if kept is None:
        raise UnusableExport(f"what {request.entry} was captured from is no longer kept in its repository")
    since = submission.baseline_rev if request.since is None else repository.resolve_commit(request.since)
    if since is None:
        raise Refused(UNKNOWN_ENTRY, selector=request.since, candidates=[])
    manifest = Manifest(
        version=VERSION,
        baseline_rev=submission.baseline_rev,
        ref=f"{ENTRIES}{submission.held_as}",
        kept_rev=kept,
        root=submission.root,
        directory=submission.directory,
        name=submission.name,
        message=submission.message,
        command=submission.command,
        targets=submission.targets,
        force=submission.force,
        as_stage=submission.as_stage,
        stage_options=submission.stage_options,
        limits=submission.limits,
        retries=submission.retries,
        entries=tuple(ManifestEntry(name=each.name, stash_rev=each.stash_rev, params=each.params) for each in entries),
    )
    return export(repository, Path(submission.git_directory, "expd"), manifest, since, Path(request.file))
