"""After a start: refs that a submission wrote whose row never came, because the daemon was killed between the two.

Only refs below this store's own name are looked at: a repository may serve several daemons, and what another holds
there is none of our business.
"""

import logging
from collections.abc import Container
from pathlib import Path

import trio

from expd.dispatch.settling import insist
from expd.gitio.errors import GitFailed, RefLocked, RefMoved
from expd.gitio.repository import Repository
from expd.prepare.capture import held_below, let_go
from expd.queueing.store import Store

_journal = logging.getLogger("expd.dispatch")


async def sweep(store: Store, capturing: Container[str]) -> None:
    """Let go what no submission owns, in every repository the store knows; `capturing` are those on their way."""
    for git_directory in await insist(store.repositories):
        try:
            await _sweep_one(store, Path(git_directory), capturing)
        except (GitFailed, RefLocked, RefMoved) as error:
            _journal.warning("%s can't be swept: %s", git_directory, error)


async def _sweep_one(store: Store, git_directory: Path, capturing: Container[str]) -> None:
    below = f"{await insist(store.name)}/"
    found = await trio.to_thread.run_sync(_held_below, git_directory, below)
    idle = [held_as for held_as in found if held_as not in capturing]  # before the rows are asked: one may just be made
    owned = await insist(store.all_held_as)
    for held_as in set(idle) - owned:
        _journal.warning("%s holds what no submission owns: let go", held_as)
        await trio.to_thread.run_sync(_let_go, git_directory, held_as)


def _held_below(git_directory: Path, below: str) -> list[str]:
    return held_below(Repository(git_directory), below)


def _let_go(git_directory: Path, held_as: str) -> None:
    let_go(Repository(git_directory), held_as)
