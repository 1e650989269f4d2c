"""An experiment commit → its ref: compare-and-swap, read back, and nothing that is there is ever overwritten unasked.

Only the daemon does this. A lock that somebody holds is waited for, and so is a repository that can't be reached; a
name that was taken meanwhile by somebody else is given way to: the result is filed as `name-2`, and never dropped.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import trio

from expd.gitio.errors import GitFailed, ObjectMissing, RefLocked, RefMoved
from expd.gitio.indexing import index_again
from expd.gitio.refs import RefChange, change_ref, experiment_ref, read_ref, twin_of
from expd.gitio.repository import Repository, again_if_disturbed
from expd.linux.holders import holder_of
from expproto.vocabulary import Rev

_journal = logging.getLogger("expd.collect")

_BACKOFF_FIRST_SECONDS, _BACKOFF_MAX_SECONDS = 0.02, 5.0
"""Git holds a ref's lock for microseconds; what holds one for seconds is stuck, and somebody has to look."""
_REMARK_SECONDS, _LASTING_SECONDS = 1.0, 0.1
"""Back-offs from which on it is worth a line of the journal, and a search for the process that has the lock."""
_NAMES_MAX = 1000
"""Names tried beside the one that is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A commit that waits for its ref. `force` replaces whatever has the name; one of `replaces` is always replaced."""

    git_directory: Path
    baseline_rev: Rev
    name: str
    rev: Rev
    force: bool
    replaces: Collection[Rev] = ()


async def file_result(
    result: Result, limiter: trio.CapacityLimiter, tell: Callable[[str], None] = lambda _what: None
) -> str:
    """Set the ref of a result and give the name it got, however long that takes: what was computed is not given up.

    `tell` hears what is in the way, each time it is.
    """
    backoff = _BACKOFF_FIRST_SECONDS
    while True:
        try:
            return await trio.to_thread.run_sync(again_if_disturbed, lambda: _file_once(result), limiter=limiter)
        except RefLocked as locked:
            what = await _words_of(locked, backoff)
        except GitFailed as failed:
            what = f"experiment {result.name} of {result.git_directory} can't be filed: {failed.what}"
        tell(what)
        _remark(backoff, what)
        await trio.sleep(backoff)
        backoff = min(2 * backoff, _BACKOFF_MAX_SECONDS)


async def _words_of(locked: RefLocked, backoff: float) -> str:
    """Say what is locked, and, once that lasts, by whom: to look at all processes takes longer than most locks."""
    what = f"{locked.ref} is locked ({locked.path}): {locked.what}"
    if backoff < _LASTING_SECONDS:
        return what
    holder = await trio.to_thread.run_sync(holder_of, Path(locked.path))
    if holder is not None:
        return f"{what}; {holder} has it"
    return f"{what}; no process has it open: `expctl doctor` tells whether it was left behind"


def _remark(backoff: float, what: str) -> None:
    """Say what is in the way once it has been there for a second, and then every time."""
    level = logging.WARNING if backoff >= _REMARK_SECONDS else logging.DEBUG
    _journal.log(level, "%s; trying again in %.2g s", what, backoff)


def _file_once(result: Result) -> str:
    repository = Repository(result.git_directory)
    if not repository.has_object(result.rev) and not _is_found_again(repository, result.rev):
        raise ObjectMissing(f"the experiment commit {result.rev} is not in {result.git_directory}")
    for number in range(1, _NAMES_MAX):
        name = result.name if number == 1 else f"{result.name}-{number}"
        if _take_name(repository, result, name):
            return name
    raise GitFailed(f"{result.name} and {_NAMES_MAX} names like it are taken")


def _is_found_again(repository: Repository, rev: Rev) -> bool:
    """Look once more when packs without an index have one again: a collection may have taken it."""
    try:
        packs = index_again(repository.objects_directory)
    except OSError as error:
        raise GitFailed(f"packs without an index can't be given one: {error}") from error
    for pack in packs:
        _journal.warning("%s had lost its index, and has one again", pack)
    return bool(packs) and Repository(Path(repository.handle.path)).has_object(rev)


def _take_name(repository: Repository, result: Result, name: str) -> bool:
    """Set one ref; True if it holds the result, also if it did so before (a crash after the ref, before the row).

    A name that differs from another one by case alone is taken.
    """
    ref = experiment_ref(result.baseline_rev, name)
    held = read_ref(repository, ref)
    if held == result.rev:
        return True
    if held is None and twin_of(repository, ref) is not None:
        return False
    expected = held if held in result.replaces else None
    try:
        change_ref(repository, RefChange(ref=ref, new=result.rev, expected=expected, force=result.force))
    except RefMoved as moved:
        return moved.found == result.rev
    return True


def rename_result(result: Result, name: str, *, exists: bool) -> bool:
    """Give the ref of a result another name, the new one first; False if the name is taken by something else.

    Without a result (`exists` is false) nothing moves, and the answer is whether the name is free. Two experiments
    may be the same commit, so that only a ref whose old name is gone counts as renamed before.
    """
    repository = Repository(result.git_directory)
    old, new = (experiment_ref(result.baseline_rev, each) for each in (result.name, name))
    held, found = read_ref(repository, old), read_ref(repository, new)
    if old == new or (exists and held is None and found == result.rev):
        return True
    if found is not None or twin_of(repository, new, but_for=result.name) is not None:
        return False
    if exists and held == result.rev:
        change_ref(repository, RefChange(ref=new, new=result.rev))
        change_ref(repository, RefChange(ref=old, new=None, expected=result.rev))
    return True
