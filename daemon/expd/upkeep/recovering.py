"""After a start: the store, the refs and what lies about are made to agree. What to do is decided in `queueing.recovery`.

Active runs are decided on before this, in the pool. Nothing here holds up the start: clients are answered meanwhile, and
a run that begins from a snapshot which is gone fails with that reason. Done twice it changes nothing.
"""

import logging
import time
from collections.abc import Container, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import trio

from expd.dispatch.settling import insist
from expd.execute.kept import give_back, runs_set_apart
from expd.gitio.errors import GitFailed, RefLocked, RefMoved
from expd.gitio.locking import release
from expd.gitio.repository import Repository
from expd.linux.allocator import give_back_memory
from expd.prepare.capture import held_below, hold_again, let_go
from expd.queueing.keeping import KeptEntry
from expd.queueing.recovery import (
    Decision,
    GiveUp,
    HoldAgain,
    LetGo,
    SetAside,
    decide_refs,
    decide_submission,
)
from expd.queueing.store import Store
from expd.upkeep.leftovers import Leftover, files_of_state, left_in_cache, left_in_repository, left_in_state
from expd.upkeep.observing import observe
from expproto.vocabulary import RunId

_journal = logging.getLogger("expd.upkeep")


class Recovery:
    """Compares one store with its surroundings; `capturing` are the names of submissions on their way."""

    def __init__(self, store: Store, runs_directory: Path, capturing: Container[str], started_at: float) -> None:
        self._store = store
        self._runs_directory = runs_directory
        self._capturing = capturing
        self._started_at = started_at

    async def run(self) -> None:
        """Find and mend what a crash has left, in the state directory and in every repository that is known."""
        await self._go_through_all()
        await trio.to_thread.run_sync(partial(give_back_memory, with_cycles=True))  # a long queue was there as a whole

    async def _go_through_all(self) -> None:
        for leftover in await self.leftovers_of_state():
            await trio.to_thread.run_sync(remove_leftover, leftover)
        waiting = await insist(self._store.kept)
        by_repository = {git: list(each) for git, each in groupby(sorted(waiting, key=_place), key=_place)}
        for git_directory in await insist(self._store.repositories):
            decisions = await self.decisions(Path(git_directory), by_repository.get(git_directory, []), deep=False)
            for decision in decisions:
                await self.carry_out(decision)
            await self.give_back(Path(git_directory))
            for leftover in await self.leftovers_of(Path(git_directory)):
                await trio.to_thread.run_sync(remove_leftover, leftover)
            if not await trio.to_thread.run_sync(Path(git_directory).exists):
                await insist(lambda git_directory=git_directory: self._store.forget_repository(git_directory))  # type: ignore[misc]

    async def give_back(self, git_directory: Path) -> None:
        """Let what was set apart, for entries that do not go on in it any more, be kept like what other runs have left."""
        found = await trio.to_thread.run_sync(runs_set_apart, git_directory)
        for run in await insist(lambda: self._store.not_gone_on(str(git_directory), found)) if found else ():
            await trio.to_thread.run_sync(_give_back, git_directory, run)

    async def decisions(self, git_directory: Path, kept: Sequence[KeptEntry], *, deep: bool) -> list[Decision]:
        """Compare the entries of one repository, and the refs of this store in it, with what is there."""
        facts = await trio.to_thread.run_sync(lambda: observe(git_directory, kept, deep=deep))
        found = await trio.to_thread.run_sync(_refs_below, git_directory, f"{await insist(self._store.name)}/")
        owned = await insist(self._store.all_held_as)
        orphans = decide_refs(str(git_directory), found, self._capturing, owned)
        settled = [each for each in facts if each.held_as not in self._capturing]
        return [*(decision for each in settled for decision in decide_submission(each)), *orphans]

    async def carry_out(self, decision: Decision) -> bool:
        """Do what was decided; False if it can't be done now."""
        match decision:
            case HoldAgain() | LetGo():
                problem = await trio.to_thread.run_sync(_change_ref, decision)
                if problem is not None:
                    _journal.warning("%s", problem)
                    return False
                _journal.warning("recovery: %s", decision)
                return True
            case GiveUp(entry=entry, reason=reason):
                _journal.warning("recovery: entry %s ends: %s", entry, reason)
                return await insist(lambda: self._store.give_up(entry, reason, time.time()))
            case SetAside(entry=entry, reason=reason):
                _journal.warning("recovery: entry %s is held: %s", entry, reason)
                return await insist(lambda: self._store.set_aside(entry, reason, time.time()))

    async def leftovers_of_state(self) -> list[Leftover]:
        """Find what lies about in the state directory."""
        found = await trio.to_thread.run_sync(files_of_state, self._runs_directory)
        return left_in_state(found, await insist(self._store.runs))

    async def leftovers_of(self, git_directory: Path) -> list[Leftover]:
        """Find what lies about in a repository."""
        name = await insist(self._store.name)
        return await trio.to_thread.run_sync(left_in_repository, git_directory, name, self._started_at)

    async def leftovers_of_caches(self, git_directory: Path) -> list[Leftover]:
        """Find objects that never came to be, in the caches of a repository's entries and among its copies."""
        kept = await insist(lambda: self._store.kept(str(git_directory)))
        caches = {Path(each.cache) for each in kept} | {git_directory / "expd" / "copies"}
        return await trio.to_thread.run_sync(
            lambda: [left for cache in sorted(caches) for left in left_in_cache(cache / "files" / "md5")]
        )


def remove_leftover(leftover: Leftover) -> bool:
    """Remove a file that nobody needs; False if it can't be removed."""
    try:
        if leftover.proof is None:
            leftover.path.unlink(missing_ok=True)
        elif not release(leftover.proof):
            return False
    except OSError as error:
        _journal.warning("%s stays: %s", leftover.path, error)
        return False
    _journal.info("%s was left behind (%s): removed", leftover.path, leftover.kind)
    return True


def _give_back(git_directory: Path, run: RunId) -> None:
    try:
        give_back(git_directory, run)
    except OSError as error:
        _journal.warning("the worktree of run %s stays set apart: %s", run, error)


def _place(kept: KeptEntry) -> str:
    return kept.git_directory


def _refs_below(git_directory: Path, below: str) -> list[str]:
    """List the refs of this store; none where the repository is not there."""
    try:
        return held_below(Repository(git_directory), below)
    except GitFailed:
        return []


def _change_ref(decision: HoldAgain | LetGo) -> str | None:
    """Set or delete a ref; gives in words what is in the way, if anything is."""
    try:
        repository = Repository(Path(decision.git_directory))
        if isinstance(decision, LetGo):
            let_go(repository, decision.held_as)
        else:
            identity = repository.identity(time.time())
            hold_again(repository, decision.held_as, decision.captured_tree, decision.stash_revs, identity)
    except (GitFailed, RefLocked, RefMoved) as error:
        return f"{decision.held_as} of {decision.git_directory} stays as it is: {error}"
    return None
