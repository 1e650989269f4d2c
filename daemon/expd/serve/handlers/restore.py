"""Restore: a workspace gets back what was captured of it; what nobody keeps is refused to be overwritten, or kept."""

from pathlib import Path

import trio

from expd.collect.leftovers import left_rev
from expd.gitio.locate import Location, locate
from expd.gitio.repository import Repository
from expd.prepare.capture import captured_by
from expd.prepare.restore import CannotRestore, Restoration, RestoreOrder, restore
from expd.queueing.entry import Entry
from expd.serve.entries import find_entries
from expd.serve.refusals import Refused, shown_paths
from expd.serve.services import Answer, Services
from expproto.errors import AMBIGUOUS_ENTRY, UNKNOWN_ENTRY, USAGE
from expproto.replies import Restored
from expproto.requests import Restore
from expproto.vocabulary import Rev


async def handle(request: Restore, services: Services, _answer: Answer) -> Restored:
    """Bring the work tree at the client's directory back to what an entry, or a stash commit, was captured from."""
    if not 0 <= request.umask <= 0o777:
        raise Refused(USAGE, what="a umask is between 0 and 0o777")
    location = await trio.to_thread.run_sync(locate, Path(request.cwd), limiter=services.git)
    entry = await _find_entry(request, services)
    await services.store.check_workspace(str(location.workspace))
    done = await trio.to_thread.run_sync(_restore, request, location, entry, limiter=services.git)
    return Restored(
        entry=None if entry is None else entry.id,
        name=request.entry if entry is None else entry.name,
        workspace=str(location.workspace),
        origin=str(location.workspace) if entry is None else entry.submission.workspace,
        written=shown_paths(done.written),
        written_count=len(done.written),
        removed=shown_paths(done.removed),
        removed_count=len(done.removed),
        left=shown_paths(done.left),
        left_count=len(done.left),
        baseline_rev=done.baseline_rev,
        head_rev=done.head_rev,
        kept_rev=done.kept_rev,
    )


async def _find_entry(request: Restore, services: Services) -> Entry | None:
    """Find the entry; a whole sweep was captured once, so that any of its entries will do. None if it is a rev."""
    try:
        entries = await find_entries(services, [request.entry], request.cwd)
    except Refused as refused:
        if refused.code != UNKNOWN_ENTRY:
            raise
        return None
    if len({entry.submission_id for entry in entries}) > 1:
        candidates = [f"{entry.id} {entry.name}" for entry in entries]
        raise Refused(AMBIGUOUS_ENTRY, selector=request.entry, candidates=candidates)
    return entries[0]


def _restore(request: Restore, location: Location, entry: Entry | None) -> Restoration:
    repository = Repository(location.git_directory)
    if entry is None:
        rev = _stash_commit(repository, request.entry)
        order = RestoreOrder(
            workspace_rev=rev, stash_rev=rev, result_rev=None, umask=request.umask, force=request.force
        )
        return restore(location, order)
    if entry.submission.git_directory != str(location.common_directory):
        what = f"entry {entry.id} was submitted in {entry.submission.workspace}, another repository than this"
        raise Refused(USAGE, what=what, hint="go there and repeat it")
    captured = captured_by(repository, entry.submission.held_as, entry.stash_rev)
    if captured is None:
        raise CannotRestore(f"what entry {entry.id} was captured from is no longer kept in this repository")
    order = RestoreOrder(
        workspace_rev=captured,
        stash_rev=entry.stash_rev,
        result_rev=entry.experiment_rev or (None if entry.run is None else left_rev(Path(entry.run.log))),
        umask=request.umask,
        force=request.force,
    )
    return restore(location, order)


def _stash_commit(repository: Repository, text: str) -> Rev:
    """Find a stash commit by a revision: two parents or more, the second one being the index on top of the first."""
    rev = repository.resolve_commit(text)
    if rev is None:
        raise Refused(UNKNOWN_ENTRY, selector=text, candidates=[])
    if not repository.is_stash_commit(rev):
        raise CannotRestore(f"{text} is no entry and no stash commit", hint=f"git restore --source {text} .")
    return rev
