"""A result on the hub → the user's repository and the run log: fetched, checked object by object, compared with what was streamed.

What a run left in a submodule goes to that one's repository, and is held there as that of a run on this host is.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import trio

from expd.distributed.hub import Hub, HubLacks, module_ref, result_ref
from expd.distributed.logpieces import LOG, MARKS, MODULES, PLACES, RECORD, complete, places_from
from expd.distributed.messages import result_from
from expd.execute.marks import marks_of
from expd.gitio.errors import GitFailed
from expd.gitio.refs import RESULTS, RefChange, change_ref, keep_commit, read_ref
from expd.gitio.repository import Repository, again_if_disturbed
from expd.gitio.submodules import submodules_of
from expproto.codec import decode
from expproto.errors import BAD_MESSAGE, RemoteProtocolError
from expproto.vocabulary import Rev, RunId, Succeeded
from expproto.work import RunEnded

_journal = logging.getLogger("expd.distributed")


_REV_DIGITS = 40


class UnusableResult(Exception):
    """What is on the hub is not the result of this attempt; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Whose result is looked for, on which commit it must stand, and where its log belongs.

    `workspace` is the user's, in which the submodules of `stash_rev` are checked out.
    """

    held_as: str
    run: RunId
    token: str
    baseline_rev: Rev
    stash_rev: Rev
    workspace: Path
    log: Path

    @property
    def ref(self) -> str:
        """Give the ref, on the hub and in the repository."""
        return result_ref(self.held_as, self.token)


async def collect_result(hub: Hub, expected: Expected) -> RunEnded | None:
    """Bring a result here; None if there is none. Raises HubFailed, UnusableResult, or OSError of the log's disk."""
    if await trio.to_thread.run_sync(_held, hub.git_directory, expected.ref) is None:
        try:
            await hub.fetch([f"+{expected.ref}:{expected.ref}"])
        except HubLacks:
            return None
    ended, modules = await trio.to_thread.run_sync(again_if_disturbed, lambda: _take(hub.git_directory, expected))
    if isinstance(ended.outcome, Succeeded):
        await _fetch_modules(hub, expected, modules)
        await trio.to_thread.run_sync(_keep_modules, hub.git_directory, expected, ended.outcome.rev)
    return ended


async def _fetch_modules(hub: Hub, expected: Expected, modules: list[tuple[str, Rev]]) -> None:
    """Bring what was left in submodules to their repositories; raises HubFailed or UnusableResult."""
    places = await trio.to_thread.run_sync(_places_of_modules, hub.git_directory, expected) if modules else {}
    for number, (path, rev) in enumerate(modules):
        if path not in places:
            raise UnusableResult(f"it has something of a submodule {path}, which is not checked out here")
        theirs = Hub(url=hub.url, git_directory=places[path])
        try:
            await theirs.fetch([f"+{module_ref(expected.held_as, expected.token, number)}:{RESULTS}{rev}"])
        except HubLacks as error:
            raise UnusableResult(str(error)) from error


def _places_of_modules(git_directory: Path, expected: Expected) -> dict[str, Path]:
    repository = Repository(git_directory)
    found = submodules_of(repository, repository.tree_of(expected.stash_rev), expected.workspace)
    return {submodule.path: submodule.git_directory for submodule in found}


def _keep_modules(git_directory: Path, expected: Expected, experiment: Rev) -> None:
    """Hold what an experiment names of submodules where a later collection would take it."""
    repository = Repository(git_directory)
    try:
        for submodule in submodules_of(repository, repository.tree_of(experiment), expected.workspace):
            keep_commit(Repository(submodule.git_directory), submodule.rev)
    except GitFailed as error:
        raise UnusableResult(f"{expected.ref}: {error}") from error


def _held(git_directory: Path, ref: str) -> Rev | None:
    return read_ref(Repository(git_directory), ref)


def _take(git_directory: Path, expected: Expected) -> tuple[RunEnded, list[tuple[str, Rev]]]:
    """Read a result, and make the log hold what is its; gives the outcome and what was left in submodules."""
    repository = Repository(git_directory)
    commit = read_ref(repository, expected.ref)
    assert commit is not None
    try:
        ended = result_from(decode(_file(repository, commit, RECORD)), expected.run, expected.token)
        _check_commit(repository, commit, ended, expected)
        log = _file(repository, commit, LOG)
        places = places_from(_file(repository, commit, PLACES), len(log))
        marks = _file(repository, commit, MARKS)
        modules = _modules_from(_file(repository, commit, MODULES))
    except (RemoteProtocolError, GitFailed) as error:
        raise UnusableResult(f"{expected.ref}: {error}") from error
    if not complete(expected.log, places, log) or not complete(marks_of(expected.log), [(0, len(marks))], marks):
        _journal.warning("what was streamed of run %s is not what its log holds: the log counts", expected.run)
    return ended, modules


def _modules_from(document: bytes) -> list[tuple[str, Rev]]:
    try:
        value: object = json.loads(document)
    except (ValueError, RecursionError):
        value = None
    modules = list[tuple[str, Rev]]()
    for item in value if isinstance(value, list) else [None]:
        match item:
            case [str() as path, str() as rev] if len(rev) == _REV_DIGITS and not rev.strip("0123456789abcdef"):
                modules.append((path, Rev(rev)))
            case _:
                raise RemoteProtocolError(BAD_MESSAGE, "a result that names what is no submodule")
    return modules


def _file(repository: Repository, commit: Rev, name: str) -> bytes:
    content = repository.read_file(repository.tree_of(commit), name)
    if content is None:
        raise RemoteProtocolError(BAD_MESSAGE, f"a result without {name}")
    return content


def _check_commit(repository: Repository, commit: Rev, ended: RunEnded, expected: Expected) -> None:
    """Check that the experiment is what it is said to be: the one parent of the result, on the baseline."""
    revs = [ended.outcome.rev] if isinstance(ended.outcome, Succeeded) else []
    if repository.parents_of(commit) != revs:
        raise RemoteProtocolError(BAD_MESSAGE, "a result that stands on another commit than its experiment")
    if revs and repository.parents_of(revs[0]) != [expected.baseline_rev]:
        raise RemoteProtocolError(BAD_MESSAGE, "an experiment that stands on another commit than its baseline")


def forget_result(git_directory: Path, ref: str) -> None:
    """Let go what held a result until it had its own ref; blocks. Raises RefLocked."""
    change_ref(Repository(git_directory), RefChange(ref=ref, new=None, force=True))
