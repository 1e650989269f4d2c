"""The engine of other hosts: entries travel through a hub (Git), tasks and words through a broker (Celery).

A task minds each attempt from its way to the hub to its result. Whoever claims an attempt on the hub runs it; a word from
it at least once a lease keeps it; what is not heard of is lost, and its result, should it come after all, is nobody's.
The broker keeps nothing that is needed: whenever it was away, the hub is asked what has become of the attempts.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from expd.bell import Bell
from expd.dispatch.engine import Ledger, Seat
from expd.dispatch.host import Host
from expd.dispatch.hubkeeper import HubKeeper
from expd.dispatch.remote_attempt import RemoteAttempt, cancelled, expected_of, refused, revocation, write_piece
from expd.distributed.arrival import UnusableResult, collect_result
from expd.distributed.hub import Hub, HubFailed, claim_ref, refs_of, result_ref
from expd.distributed.inputs import DataStuck
from expd.distributed.link import Link
from expd.distributed.messages import (
    BrokerAway,
    Claimed,
    Gone,
    Reported,
    ResultPushed,
    Told,
    Written,
    queue_of,
    report_from,
    task_of,
    told_from,
)
from expd.queueing.entry import Entry, Run
from expd.settings import CelerySettings
from expproto.errors import RemoteProtocolError
from expproto.fields import to_map
from expproto.vocabulary import Rev, RunId
from expproto.work import CancelRun, Execute, RunEnded

_journal = logging.getLogger("expd.dispatch")

_UNDER_WAY_MAX = 1000
"""Attempts that are out at once: a queue of a broker is no place to keep ten thousand that may be cancelled yet."""
_BACKOFF_SECONDS, _BACKOFF_MAX_SECONDS = 1.0, 60.0
_NAG_SECONDS = 5.0
"""Between two words to a worker that its attempt is not wanted any more."""


class CeleryEngine:
    """An Engine."""

    name = "celery"

    def __init__(self, settings: CelerySettings, store: str, ledger: Ledger, host: Host) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._host = host
        self._link = Link(settings, store, host.worker_log)
        self._attempts: dict[str, RemoteAttempt] = {}
        self._strangers: dict[str, float] = {}
        self._keeper = HubKeeper(settings.hub, store, ledger)
        self._to_mind, self._minded = trio.open_memory_channel[RemoteAttempt](math.inf)
        self._to_end, self._over = trio.open_memory_channel[Entry](math.inf)
        self._look = Bell()

    @property
    def trouble(self) -> str | None:
        """Say why the broker can't be reached, while it can't."""
        return self._link.trouble

    def obstacle(self, run: RunId) -> str | None:
        """Say what a run waits for that is out."""
        attempt = next((attempt for attempt in self._attempts.values() if attempt.run.id == run), None)
        if attempt is None:
            return None
        if attempt.obstacle is not None:
            return attempt.obstacle
        return (
            None
            if attempt.is_claimed
            else self.trouble or f"a worker of {queue_of(attempt.entry.submission.engine_queue)}"
        )

    def host_of(self, run: RunId) -> str | None:
        """Give the name of the host that executes a run."""
        return next((attempt.host for attempt in self._attempts.values() if attempt.run.id == run), None)

    async def ask_hosts(self) -> Sequence[Mapping[str, object]]:
        """Ask all worker hosts what runs there; raises BrokerAway."""
        answer = await self._link.request(do="ask")
        return [item for item in answer if isinstance(item, dict)] if isinstance(answer, list) else []

    async def run(self) -> None:
        """Mind what is out, until cancelled; it goes on without us."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._link.run, self._hear, self._note_change)
            nursery.start_soon(self._survey_always)
            nursery.start_soon(self._end_always)
            async for attempt in self._minded:
                nursery.start_soon(self._mind, attempt)

    def seats(self, wanted: int) -> Sequence[Seat]:
        """Give a seat for everything that is wanted, while the broker is there: it is the broker's to wait for workers."""
        if self._link.trouble is not None:
            return []
        return [Seat(worker=self.name)] * max(0, min(wanted, _UNDER_WAY_MAX - len(self._attempts)))

    def start(self, seat: Seat, entry: Entry, order: Execute) -> None:  # noqa: ARG002 - an Engine's
        """Send an attempt out."""
        self._take_in(entry, order)

    def cancel(self, wish: CancelRun) -> None:
        """Have the end of an attempt be wanted; its task sees to it."""
        for attempt in self._attempts.values():
            if attempt.run.id == wish.run:
                attempt.bell.ring()

    def lives(self, run: Run) -> bool:  # noqa: ARG002 - an Engine's
        """Say that there may be news of any attempt: its lease tells."""
        return True

    def adopt(self, entry: Entry) -> None:
        """Take in an attempt that an earlier daemon sent."""
        self._take_in(entry, None)

    def ended(self, entry: Entry) -> None:
        """Clear away a submission on the hub, of which another entry may have been there."""
        self._to_end.send_nowait(entry)

    async def sweep(self, *, is_dry: bool) -> list[str]:
        """Clear away refs on the hub; raises HubFailed."""
        return await self._keeper.sweep(is_dry=is_dry)

    async def dismiss(self, *, with_runs: bool) -> None:
        """Leave everything as it is: what is out needs no daemon."""

    def _take_in(self, entry: Entry, order: Execute | None) -> None:
        assert entry.run is not None
        attempt = RemoteAttempt(entry=entry, run=entry.run, order=order, is_known=order is not None)
        self._attempts[entry.run.token] = attempt
        self._to_mind.send_nowait(attempt)
        self._look.ring()

    # --- what is heard

    def _note_change(self) -> None:
        """The broker came or went: what was sent may be lost, and what happened meanwhile is on the hub."""
        self._ledger.ring()
        self._look.ring()
        for attempt in self._attempts.values():
            attempt.bell.ring()

    async def _hear(self, value: object) -> None:
        try:
            await self._take(told_from(value))
        except (RemoteProtocolError, OSError) as error:
            _journal.warning("a worker's word is passed over: %s", error)

    async def _take(self, word: Told) -> None:
        attempt = self._attempts.get(word.token)
        if attempt is None or attempt.run.id != word.run:
            await self._turn_away(word)
            return
        attempt.heard_at = trio.current_time()
        attempt.is_claimed = True
        match word:
            case Claimed(host=host) if host != attempt.host:
                attempt.host = host
                _journal.info("run %s of entry %s is executed by %s", attempt.run.id, attempt.entry.id, host)
            case Reported():
                await self._ledger.hear(report_from(word))
                return
            case Written():
                await trio.to_thread.run_sync(write_piece, Path(attempt.run.log), word)
                return
            case Gone(how=how):
                attempt.gone = how
            case ResultPushed():
                attempt.has_result = True
            case _:
                if self._ledger.wish(attempt.run.id) is None:
                    return
        attempt.bell.ring()

    async def _turn_away(self, word: Told) -> None:
        """End an attempt that was given up, or is nobody's, as often as its worker says that it lives."""
        now = trio.current_time()
        if isinstance(word, Claimed) and now - self._strangers.get(word.token, -math.inf) > _NAG_SECONDS:
            self._strangers = {
                token: at for token, at in self._strangers.items() if now - at < self._settings.lease_seconds
            }
            self._strangers[word.token] = now
            try:
                await self._link.request(do="cancel", token=word.token, reason="this attempt was given up", at=None)
            except BrokerAway as away:
                _journal.debug("%s", away.what)

    # --- what the hub says

    async def _survey_always(self) -> None:
        """Ask the hub what has become of all that is out, whenever the broker is back.

        And once a lease while something is out that nobody was heard of: a host that was cut off as it claimed it has it
        for a lease, however much waits behind it.
        """
        seen, due = math.inf, math.inf
        while True:
            rung, now = self._look.next_ring, trio.current_time()
            is_news, is_due = self._link.up_since != seen, now >= due
            due = math.inf if is_due else due
            if self._link.trouble is None and (is_news or is_due) and await self._survey():
                seen = self._link.up_since
                if is_news:
                    await self._sweep_quietly()
            if all(attempt.is_claimed for attempt in self._attempts.values()):
                due = math.inf
            else:
                due = min(due, now + self._settings.lease_seconds)
            with trio.move_on_at(due):
                await rung.wait()

    async def _sweep_quietly(self) -> None:
        """Clear away what an earlier daemon left; what fails now is done the next time."""
        try:
            swept = await self._keeper.sweep(is_dry=False)
        except HubFailed as failed:
            _journal.warning("the hub can't be swept: %s", failed.what)
        else:
            if swept:
                _journal.info("%d refs of what is over are removed from the hub", len(swept))

    async def _survey(self) -> bool:
        """Look once; an attempt that nobody has claimed may have been lost with the broker, and is sent again."""
        backoff = _BACKOFF_SECONDS
        repositories = {Path(attempt.entry.submission.git_directory) for attempt in self._attempts.values()}
        if not repositories:
            return True
        hub = Hub(url=self._settings.hub, git_directory=next(iter(repositories)))
        while self._link.trouble is None:
            try:
                refs = await hub.list_refs([refs_of(self._store)])
            except HubFailed as failed:
                _journal.warning("the hub can't be asked: %s", failed.what)
                await trio.sleep(backoff)
                backoff = min(2 * backoff, _BACKOFF_MAX_SECONDS)
                continue
            for token, attempt in self._attempts.items():
                self._note_refs(attempt, token, refs)
            return True
        return False

    def _note_refs(self, attempt: RemoteAttempt, token: str, refs: Mapping[str, Rev]) -> None:
        held_as = attempt.entry.submission.held_as
        attempt.has_result = attempt.has_result or result_ref(held_as, token) in refs
        if claim_ref(held_as, token) in refs:
            if not attempt.is_claimed:
                attempt.is_claimed, attempt.heard_at = True, trio.current_time()
        elif attempt.sent_at < self._link.up_since:
            self._keeper.doubt(held_as)
            attempt.sent_at = -math.inf
        attempt.is_known = True
        attempt.bell.ring()

    async def _end_always(self) -> None:
        """Clear away what is over without an attempt of ours; what fails is left to the next sweep."""
        async for entry in self._over:
            try:
                await self._keeper.end(entry)
            except HubFailed as failed:
                _journal.warning("what entry %s has on the hub is left behind: %s", entry.id, failed.what)

    # --- one attempt

    async def _mind(self, attempt: RemoteAttempt) -> None:
        """Stay with an attempt to its end."""
        try:
            ended = await self._see_to_end(attempt)
            if isinstance(ended, RunEnded):
                await self._ledger.hear(ended)
            else:
                await self._ledger.vanished(attempt.run.id, ended)
            await self._ledger.settled(attempt.run.id)
        finally:
            del self._attempts[attempt.run.token]
            self._ledger.ring()
        await self._keeper.clean(attempt)

    async def _see_to_end(self, attempt: RemoteAttempt) -> RunEnded | str:
        """Do what is to be done next, until there is an outcome, or a reason why there will be none."""
        while True:
            rung = attempt.bell.next_ring
            if attempt.has_result and (ended := await self._collect(attempt)) is not None:
                return ended
            if attempt.gone is not None:
                return attempt.gone
            if (wish := self._ledger.wish(attempt.run.id)) is not None and await self._end(attempt, wish):
                return cancelled(attempt, wish, self._host.now())
            if attempt.order is not None and not attempt.is_claimed and attempt.sent_at == -math.inf:
                await self._send(attempt)
                continue
            if (how := self._lease_is_out(attempt)) is not None:
                attempt.has_result = True  # if it came all the same: looked for once more
                return await self._collect(attempt) or how
            with trio.move_on_after(self._patience(attempt)):
                await rung.wait()
            await self._look_for_task(attempt)
            if attempt.order is None and attempt.is_known and not attempt.is_claimed:
                attempt.order = await self._ledger.order_again(attempt.run.id)

    async def _send(self, attempt: RemoteAttempt) -> None:
        """Bring an entry to the hub and its task to the broker; what is in the way is told, and tried again."""
        entry, order = attempt.entry, attempt.order
        assert order is not None
        try:
            parcel = await self._keeper.bring(entry)
            lease, pushes_data = self._settings.lease_seconds, entry.submission.pushes_data
            task = task_of(order, parcel, lease_seconds=lease, pushes_data=pushes_data)
            queue = queue_of(entry.submission.engine_queue)
            await self._link.request(do="send", task=to_map(task), queue=queue)
        except DataStuck as stuck:
            attempt.obstacle = str(stuck)
        except HubFailed as failed:
            attempt.obstacle = f"the hub: {failed.what}"
        except BrokerAway as away:
            attempt.obstacle = f"the broker is away: {away.what}"
        else:
            attempt.sent_at, attempt.obstacle = trio.current_time(), None
            return
        _journal.warning("entry %s waits: %s", entry.id, attempt.obstacle)
        rung = attempt.bell.next_ring
        with trio.move_on_after(_NAG_SECONDS):
            await rung.wait()

    async def _collect(self, attempt: RemoteAttempt) -> RunEnded | None:
        """Bring the result here, however long that takes; None if there is none."""
        expected = expected_of(attempt)
        backoff = _BACKOFF_SECONDS
        while True:
            try:
                ended = await collect_result(self._keeper.hub_of(attempt.entry), expected)
            except (HubFailed, OSError) as error:
                attempt.obstacle = f"its result can't be fetched: {error}"
                _journal.warning("entry %s: %s", attempt.entry.id, attempt.obstacle)
                await trio.sleep(backoff)
                backoff = min(2 * backoff, _BACKOFF_MAX_SECONDS)
            except UnusableResult as error:
                reason = f"what came back from {attempt.host or 'a worker'} is no result of this run: {error}"
                return refused(attempt, reason, self._host.now())
            else:
                attempt.has_result = ended is not None
                attempt.obstacle = None
                return ended

    async def _end(self, attempt: RemoteAttempt, wish: CancelRun) -> bool:
        """End an attempt: claim it ourselves if nobody has, else tell who has; True if there is nobody to be told."""
        now = trio.current_time()
        if now - attempt.told_at < _NAG_SECONDS:
            return False
        attempt.told_at = now
        try:
            if not attempt.is_claimed:
                hub, held_as = self._keeper.hub_of(attempt.entry), attempt.entry.submission.held_as
                revoked = await trio.to_thread.run_sync(revocation, hub.git_directory, attempt.run.token, wish)
                if await hub.push_new({claim_ref(held_as, attempt.run.token): revoked}, while_there={}):
                    return True
                attempt.is_claimed, attempt.heard_at = True, now
            await self._link.request(do="cancel", token=attempt.run.token, reason=wish.reason, at=wish.at)
        except (HubFailed, BrokerAway) as error:
            attempt.obstacle = f"its end is wanted, and nobody can be told: {error.what}"
        return False

    async def _look_for_task(self, attempt: RemoteAttempt) -> None:
        """Send a task again that neither a worker has claimed nor the broker still has.

        A broker may hand a message to a host that has just been cut off, and never know. Twice is harmless. A host may also
        have claimed it and been cut off before it could say so: its lease begins when that is seen on the hub.
        """
        now = trio.current_time()
        if attempt.is_claimed or self._link.trouble is not None or now - attempt.sent_at < self._settings.lease_seconds:
            return
        if attempt.sent_at == -math.inf:
            return
        try:
            waiting = await self._link.request(do="count", queue=queue_of(attempt.entry.submission.engine_queue))
            attempt.sent_at = now
            if not waiting:
                held_as, token = attempt.entry.submission.held_as, attempt.run.token
                names = [claim_ref(held_as, token), result_ref(held_as, token)]
                refs = await self._keeper.hub_of(attempt.entry).list_refs(names)
                attempt.sent_at = -math.inf
                self._note_refs(attempt, token, refs)
        except (BrokerAway, HubFailed) as error:
            _journal.debug("%s", error.what)

    def _lease_is_out(self, attempt: RemoteAttempt) -> str | None:
        """Say that nothing was heard for too long; the time in which the broker was away does not count."""
        if not attempt.is_claimed or self._link.trouble is not None:
            return None
        silent = trio.current_time() - max(attempt.heard_at, self._link.up_since)
        if silent <= self._settings.lease_seconds:
            return None
        return f"nothing was heard of {attempt.host or 'its worker'} for {silent:.0f} s"

    def _patience(self, attempt: RemoteAttempt) -> float:
        """Give how long to wait for news at most."""
        if self._ledger.wish(attempt.run.id) is not None:
            return _NAG_SECONDS
        if self._link.trouble is not None or (not attempt.is_claimed and attempt.sent_at == -math.inf):
            return math.inf
        if not attempt.is_claimed:
            return max(0.05, attempt.sent_at + self._settings.lease_seconds - trio.current_time())
        due = max(attempt.heard_at, self._link.up_since) + self._settings.lease_seconds
        return max(0.0, due - trio.current_time()) + 0.05  # never a moment too early
