"""Clients of a simulation: they submit, follow, cancel and try again over the real protocol, and ask again what is not answered."""

from random import Random

import trio
import trio.lowlevel

from expd.wire import Wire
from expproto.errors import INTERNAL, ProtocolError
from expproto.logs import Output
from expproto.place import DEFAULT_GROUP
from expproto.records import EntryRecord
from expproto.replies import Ended, EntryPage, Event, Refusal, Reply
from expproto.requests import Cancel, Follow, FollowTarget, Release, Remove, Request, Retry, Status, Stop, Submit
from expproto.retries import NO_RETRIES, RetryPolicy
from expproto.steering import AddGroup, EditEntries, Hold, Move, Pause, Resume, RunNow, SetJobs
from expproto.vocabulary import Ending, EntryId, EntryState
from helpers.simulation.world import NobodyListens, World

GROUP, JOBS = "other", 2
"""A group beside the default one, and the slots of each when all is calm."""
_LEFT = (ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel)


class Unanswered(Exception):
    """The daemon went, or the client did, before the answer was there."""


class Client:
    """Somebody at a terminal; each request goes over a connection of its own."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.chance: Random = world.chance(name)
        self.cwd = str(world.project)

    async def ask(self, request: Request, events: list[Event], patience_seconds: float = 1e9) -> Reply:
        """Ask once; raises Unanswered. Events that came are in the list whatever happens."""
        try:
            stream = self.world.connect()
        except NobodyListens:
            raise Unanswered from None
        wire = Wire(stream, "client")
        try:
            with trio.move_on_after(patience_seconds):
                await wire.greet()
                await wire.send(request)
                while (message := await wire.receive()) is not None:
                    if isinstance(message, Reply):
                        self._check(request, message)
                        return message
                    assert isinstance(message, Event)
                    events.append(message)
        except _LEFT:
            pass
        finally:
            with trio.move_on_after(1, shield=True):
                await wire.close()
        raise Unanswered

    async def insist(self, request: Request, patience_seconds: float = 1e9) -> tuple[Reply, list[Event]]:
        """Ask until there is an answer; only what may be asked twice. An impatient client leaves, and asks again."""
        while True:
            await self.world.wait_listening()
            events: list[Event] = []
            try:
                return await self.ask(request, events, patience_seconds), events
            except Unanswered:
                await trio.sleep(self.chance.uniform(0, 0.5))
                patience_seconds *= 2

    async def entries(self, *selectors: str) -> list[EntryRecord]:
        """Ask for the entries as they are."""
        _reply, events = await self.insist(Status(cwd=self.cwd, entries=selectors))
        return [entry for page in events if isinstance(page, EntryPage) for entry in page.entries]

    def _check(self, request: Request, reply: Reply) -> None:
        if isinstance(reply, Refusal):
            self.world.note(f"{request.kind} is refused: {reply.code} {reply.data}")
            assert reply.code != INTERNAL, f"{request.kind}: {reply.data}"


async def submit_some(world: World, number: int, patient: trio.Nursery) -> None:
    """Submit a few times, and do something with each entry afterwards."""
    client = Client(world, f"client {number}")
    chance = client.chance
    for count in range(chance.randint(1, 2)):
        await trio.sleep(chance.choice((0.0, chance.uniform(0, 1), chance.uniform(0, 20))))
        request = Submit(
            request_id=f"{chance.getrandbits(128):032x}",
            cwd=client.cwd,
            name=f"c{number}-{count}",
            command=("true",),
            overrides=("lr=1,2",) if chance.random() < 0.3 else (),
            retries=RetryPolicy(retries=2, backoff_seconds=chance.uniform(0, 20))
            if chance.random() < 0.3
            else NO_RETRIES,
            on_hold=chance.random() < 0.1,
        )
        patience = chance.choice((1e9, chance.uniform(0.001, 0.05)))
        reply, events = await client.insist(request, patience)
        if isinstance(reply, Refusal):
            continue
        entries = [entry.id for page in events if isinstance(page, EntryPage) for entry in page.entries]
        world.note(f"{request.name} is acknowledged: {entries}")
        world.acknowledged[request.request_id] = entries
        for entry in entries:
            patient.start_soon(chance.choice((follow, cancel, try_again, remove, steer, steer, nothing)), world, entry)


async def nothing(world: World, entry: EntryId) -> None:
    """Leave an entry alone."""
    del world, entry
    await trio.lowlevel.checkpoint()


async def follow(world: World, entry: EntryId) -> None:
    """Follow the first attempt to its end over any number of daemons: every byte comes once."""
    client = Client(world, f"follower of {entry}")
    target, received = FollowTarget(entry=f"{entry}@1"), b""
    while True:
        await world.wait_listening()
        events: list[Event] = []
        try:
            await client.ask(Follow(cwd=client.cwd, targets=(target,), raw=True), events)
        except Unanswered:
            await trio.lowlevel.checkpoint()
        for output in events:
            if isinstance(output, Output):
                assert output.offset == len(received), f"entry {entry}: {output.offset} after {len(received)} bytes"
                received += output.data
        if any(isinstance(event, Ended) for event in events):
            break
        if entry in world.removed:
            return
        target = FollowTarget(entry=f"{entry}@1", offset=len(received))
    written = world.logs.get((entry, 1))
    expected = written.read_bytes() if written is not None and written.exists() else b""
    assert received == expected, f"entry {entry}: {received!r} was followed of {expected!r}"


async def cancel(world: World, entry: EntryId) -> None:
    """Cancel after a while; what was acknowledged holds, unless it had ended."""
    client = Client(world, f"canceller of {entry}")
    await trio.sleep(client.chance.choice((0.0, client.chance.uniform(0, 10))))
    reply, _events = await client.insist(Cancel(cwd=client.cwd, entries=(str(entry),)))
    if not isinstance(reply, Refusal):
        world.note(f"cancelling {entry} is acknowledged")
        world.cancelled.add(entry)


async def try_again(world: World, entry: EntryId) -> None:
    """Ask for another attempt once an entry is done without success."""
    client = Client(world, f"retrier of {entry}")
    await trio.sleep(client.chance.uniform(0, 40))
    await client.insist(Retry(cwd=client.cwd, entries=(str(entry),), force=client.chance.random() < 0.3))


async def remove(world: World, entry: EntryId) -> None:
    """Remove an entry if it is done after a while."""
    client = Client(world, f"remover of {entry}")
    await trio.sleep(client.chance.uniform(0, 60))
    world.removed.add(entry)  # from here on it may be gone, answer or not
    await client.insist(Remove(cwd=client.cwd, entries=(str(entry),)))


async def steer(world: World, entry: EntryId) -> None:
    """Have an entry wait, go first, go at once or go elsewhere; what its state does not allow is refused."""
    client = Client(world, f"steerer of {entry}")
    cwd, entries, chance = client.cwd, (str(entry),), client.chance
    for _time in range(chance.randint(1, 4)):
        await trio.sleep(chance.choice((0.0, chance.uniform(0, 10))))
        wish = chance.choice((
            Hold(cwd=cwd, entries=entries),
            Release(cwd=cwd, entries=entries),
            RunNow(cwd=cwd, entries=entries),
            Move(cwd=cwd, entries=entries),
            EditEntries(cwd=cwd, entries=entries, priority=chance.randint(-1, 1)),
            EditEntries(cwd=cwd, entries=entries, group=chance.choice((DEFAULT_GROUP, GROUP))),
            EditEntries(cwd=cwd, entries=entries, not_before=world.now() + chance.uniform(0, 60)),
        ))  # fmt: skip
        await client.insist(wish)


async def let_all_go(world: World) -> None:
    """Take back what keeps entries waiting: holds, times, pauses, and too few slots."""
    client = Client(world, "calm")
    for group in (None, GROUP):
        await client.insist(Resume(group=group))
        await client.insist(SetJobs(jobs=JOBS, group=group))
    for entry in await client.entries():
        entries = (str(entry.id),)
        if entry.state is EntryState.HELD:
            await client.insist(Release(cwd=client.cwd, entries=entries))
        if entry.state in {EntryState.HELD, EntryState.QUEUED}:
            await client.insist(EditEntries(cwd=client.cwd, entries=entries, not_before=0))


async def fiddle(world: World) -> None:
    """Pause, resume and change the number of slots, as somebody who watches might."""
    client = Client(world, "fiddler")
    chance = client.chance
    await client.insist(AddGroup(name=GROUP, jobs=1))
    for _time in range(chance.randrange(4)):
        await trio.sleep(chance.uniform(0, 20))
        group = chance.choice((None, GROUP))
        wishes = (Pause(group=group), Resume(group=group), SetJobs(jobs=chance.randint(0, 4), group=group))
        await client.insist(chance.choice(wishes))


async def stop(world: World, ending: Ending) -> None:
    """Stop the daemon, which the next one follows."""
    await Client(world, f"stopper {world.lives}").insist(Stop(ending=ending))
