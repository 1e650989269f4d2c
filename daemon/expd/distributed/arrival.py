"""A result on the hub → the user's repository and the run log: fetched, checked object by object, compared with what was streamed."""

import logging
from dataclasses import dataclass
from pathlib import Path

import trio

from expd.distributed.hub import Hub, HubLacks, attempt_ref
from expd.distributed.logpieces import LOG, MARKS, PLACES, RECORD, complete, places_from
from expd.distributed.messages import result_from
from expd.execute.marks import marks_of
from expd.gitio.errors import GitFailed
from expd.gitio.refs import RefChange, change_ref, read_ref
from expd.gitio.repository import Repository, again_if_disturbed
from expproto.codec import decode
from expproto.errors import BAD_MESSAGE, RemoteProtocolError
from expproto.vocabulary import Rev, RunId, Succeeded
from expproto.work import RunEnded

_journal = logging.getLogger("expd.distributed")


class UnusableResult(Exception):
    """What is on the hub is not the result of this attempt; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Whose result is looked for, on which commit it must stand, and where its log belongs."""

    store: str
    run: RunId
    token: str
    baseline_rev: Rev
    log: Path

    @property
    def ref(self) -> str:
        """Give the ref, on the hub and in the repository."""
        return attempt_ref(self.store, self.token)


async def collect_result(hub: Hub, expected: Expected) -> RunEnded | None:
    """Bring a result here; None if there is none. Raises HubFailed, UnusableResult, or OSError of the log's disk."""
    if await trio.to_thread.run_sync(_held, hub.git_directory, expected.ref) is None:
        try:
            await hub.fetch([f"+{expected.ref}:{expected.ref}"])
        except HubLacks:
            return None
    return await trio.to_thread.run_sync(again_if_disturbed, lambda: _take(hub.git_directory, expected))


def _held(git_directory: Path, ref: str) -> Rev | None:
    return read_ref(Repository(git_directory), ref)


def _take(git_directory: Path, expected: Expected) -> RunEnded:
    repository = Repository(git_directory)
    commit = read_ref(repository, expected.ref)
    assert commit is not None
    try:
        ended = result_from(decode(_file(repository, commit, RECORD)), expected.run, expected.token)
        _check_commit(repository, commit, ended, expected)
        log = _file(repository, commit, LOG)
        places = places_from(_file(repository, commit, PLACES), len(log))
        marks = _file(repository, commit, MARKS)
    except (RemoteProtocolError, GitFailed) as error:
        raise UnusableResult(f"{expected.ref}: {error}") from error
    if not complete(expected.log, places, log) or not complete(marks_of(expected.log), [(0, len(marks))], marks):
        _journal.warning("what was streamed of run %s is not what its log holds: the log counts", expected.run)
    return ended


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
