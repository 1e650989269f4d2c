"""What a submission holds in Git until its rows are there: one name, and whatever prevents the rows lets go of it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from expd.gitio.errors import GitFailed, RefLocked, RefMoved
from expd.gitio.repository import Repository
from expd.prepare.capture import let_go
from expd.serve.services import Services

_journal = logging.getLogger("expd.serve")


@dataclass(slots=True)
class Held:
    """A submission on its way: its commits are held as `name`, below refs/expd/entries/."""

    name: str
    is_accepted: bool = False
    """Set when its rows are on the disk."""


@asynccontextmanager
async def holding(request_id: str, git_directory: Path, services: Services) -> AsyncIterator[Held]:
    """Let a submission hold its commits; one that is not accepted, for whatever reason, holds nothing afterwards."""
    held = Held(f"{await services.store.name()}/{request_id}")
    services.capturing.add(held.name)
    try:
        yield held
    finally:
        with trio.CancelScope(shield=True):
            if not (held.is_accepted or await services.store.accepted_before(request_id)):
                await _let_go(held.name, git_directory, services)
        services.capturing.discard(held.name)


async def _let_go(name: str, git_directory: Path, services: Services) -> None:
    """Remove the ref; one that can't be removed now goes at the next start."""
    try:
        await trio.to_thread.run_sync(lambda: let_go(Repository(git_directory), name), limiter=services.git)
    except (GitFailed, RefLocked, RefMoved) as error:
        _journal.warning("%s stays: %s", name, error)
