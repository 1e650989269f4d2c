"""What a daemon has on its hub: submissions while something of them may run, and nothing once they are over."""

import logging
import tempfile
from collections import defaultdict
from pathlib import Path

import trio

from expd.dispatch.engine import Ledger
from expd.dispatch.remote_attempt import RemoteAttempt, inputs_of, sender_of
from expd.distributed.arrival import forget_result
from expd.distributed.cargo import pack_cargo
from expd.distributed.hub import Hub, HubFailed, cargo_ref, held_as_of, refs_of, result_ref
from expd.distributed.inputs import push_inputs
from expd.distributed.messages import Parcel
from expd.gitio.borrowing import lay_borrower
from expd.gitio.errors import GitFailed, RefLocked, RefMoved
from expd.gitio.refs import ENTRIES, read_ref
from expd.gitio.repository import Repository
from expd.pipeline.model import PipelineError
from expd.queueing.entry import Entry
from expproto.vocabulary import Rev

_journal = logging.getLogger("expd.dispatch")


class HubKeeper:
    """Brings submissions to the hub, once however many entries they have, and clears away what is over."""

    def __init__(self, url: str, store: str, ledger: Ledger) -> None:
        self._url = url
        self._store = store
        self._ledger = ledger
        self._locks: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        self._there: dict[str, Parcel] = {}

    def hub_of(self, entry: Entry) -> Hub:
        """Give the hub, as seen from the repository of an entry."""
        return Hub(url=self._url, git_directory=Path(entry.submission.git_directory))

    async def bring(self, entry: Entry) -> Parcel:
        """See to it that a submission is on the hub, and what it reads in the DVC remote; raises HubFailed or DataStuck.

        One of which an entry was edited since is brought again.
        """
        held_as = entry.submission.held_as
        async with self._locks[held_as]:
            there = self._there.get(held_as)
            if there is None or there.held_rev != await trio.to_thread.run_sync(_held_rev, entry):
                there = self._there[held_as] = await self._push(entry)
            return there

    def doubt(self, held_as: str) -> None:
        """Have a submission be brought to the hub once more: it may have been lost there."""
        self._there.pop(held_as, None)

    async def _push(self, entry: Entry) -> Parcel:
        held_as = entry.submission.held_as
        with tempfile.TemporaryDirectory(prefix="expd-inputs-") as directory:
            await push_inputs(inputs_of(entry), Path(directory))
        with tempfile.TemporaryDirectory(prefix="expd-cargo-") as directory:
            try:
                parcel = await trio.to_thread.run_sync(_pack, entry, Path(directory))
            except (GitFailed, PipelineError, OSError) as error:
                raise HubFailed(f"what is to be sent can't be had: {error}") from error
            refs: dict[str, Rev] = {f"{ENTRIES}{held_as}": parcel.held_rev}
            if parcel.cargo is not None:
                refs[cargo_ref(held_as)] = parcel.cargo
            await Hub(url=self._url, git_directory=Path(directory)).push(refs)
        return parcel

    async def clean(self, attempt: RemoteAttempt) -> None:
        """Remove what held the result of an attempt on its way, and all of its submission if that is over.

        While it is not, the claim stays, so that a task that comes late runs nothing.
        """
        held_as = attempt.entry.submission.held_as
        ref = result_ref(held_as, attempt.run.token)
        hub = self.hub_of(attempt.entry)
        try:
            await trio.to_thread.run_sync(forget_result, hub.git_directory, ref)
            if not await self.end(attempt.entry):
                await hub.delete([ref])
        except (HubFailed, GitFailed, RefLocked, RefMoved) as error:
            _journal.warning("%s is left behind: %s", ref, error)

    async def end(self, entry: Entry) -> bool:
        """Clear away a submission, if it is over; raises HubFailed."""
        held_as, hub = entry.submission.held_as, self.hub_of(entry)
        async with self._locks[held_as]:
            if not await self._ledger.is_over(held_as):
                return False
            self.doubt(held_as)
            await hub.delete(list(await hub.list_refs([refs_of(self._store, held_as)])))
            return True

    async def sweep(self, *, is_dry: bool) -> list[str]:
        """Clear away all that is ours and of no use any more; gives the refs. Raises HubFailed."""
        swept = list[str]()
        with tempfile.TemporaryDirectory(prefix="expd-sweep-") as directory:
            await trio.to_thread.run_sync(lay_borrower, Path(directory), [])
            hub = Hub(url=self._url, git_directory=Path(directory))
            found: defaultdict[str, list[str]] = defaultdict(list)
            for ref in await hub.list_refs([refs_of(self._store)]):
                found[held_as_of(ref)].append(ref)
            for held_as, refs in found.items():
                async with self._locks[held_as]:
                    if not await self._ledger.is_over(held_as):
                        continue
                    swept += refs
                    if not is_dry:
                        self.doubt(held_as)
                        await hub.delete(refs)
        return swept


def _held_rev(entry: Entry) -> Rev | None:
    """Read what a submission holds now; None where that can't be told, and the push will say why."""
    try:
        return read_ref(Repository(Path(entry.submission.git_directory)), f"{ENTRIES}{entry.submission.held_as}")
    except GitFailed:
        return None


def _pack(entry: Entry, directory: Path) -> Parcel:
    """Make the repository from which a submission is pushed, with its cargo in it."""
    submission = entry.submission
    cargo = pack_cargo(sender_of(entry), directory)
    held_rev = _held_rev(entry)
    if held_rev is None:
        raise GitFailed(f"{ENTRIES}{submission.held_as} is not there")
    author = Repository(Path(submission.git_directory)).identity(submission.submitted_at)
    return Parcel(
        held_as=submission.held_as,
        held_rev=held_rev,
        cargo=cargo,
        author_name=author.name,
        author_email=author.email,
    )
