"""What happens to a machine on a bad day: drawn from the seed, and over after a while, so that everything can be put right."""

from collections.abc import Awaitable, Callable
from random import Random

import trio

from expd.gitio.refs import experiment_ref
from expproto.vocabulary import Ending
from helpers.simulation.clients import stop
from helpers.simulation.world import World

Trouble = Callable[[World, Random], Awaitable[None] | None]
"""Some happen at once, others last."""

_TROUBLES_MAX = 8


async def make_trouble(world: World) -> None:
    """Draw some troubles one after the other; some last while the next one comes."""
    chance = world.chance("trouble")
    async with trio.open_nursery() as nursery:
        for _time in range(chance.randint(1, _TROUBLES_MAX)):
            await trio.sleep(chance.choice((chance.uniform(0, 0.5), chance.expovariate(0.3))))
            nursery.start_soon(_befall, chance.choice(TROUBLES), world, chance)


async def _befall(trouble: Trouble, world: World, chance: Random) -> None:
    lasting = trouble(world, chance)
    if lasting is not None:
        await lasting


def _kill_daemon(world: World, _chance: Random) -> None:
    world.crash()


def _kill_at_a_commit(world: World, chance: Random) -> None:
    world.disk.crash_in_commits = chance.choice((1, -1)) * chance.randint(1, 8)


def _kill_worker(world: World, chance: Random) -> None:
    if world.workers:
        world.workers[chance.choice(sorted(world.workers))].kill()


def _kill_all(world: World, chance: Random) -> None:
    """Kill every process of ours at once, also what the runs had started, or not."""
    for worker in list(world.workers.values()):
        worker.kill()
    if chance.random() < 0.5:
        world.commands.clear()
    world.crash()


def _reboot(world: World, _chance: Random) -> None:
    world.note("the machine starts anew")
    for worker in list(world.workers.values()):
        worker.kill()
    world.commands.clear()
    world.crash()
    world.boot += 1


async def _drop_connection(world: World, chance: Random) -> None:
    connected = [worker for worker in world.workers.values() if worker.wire is not None]
    if connected:
        worker = chance.choice(connected)
        world.note(f"worker {worker.identity.pid} loses its connection")
        if worker.wire is not None:
            await worker.wire.close()


async def _freeze_worker(world: World, chance: Random) -> None:
    if world.workers:
        worker = world.workers[chance.choice(sorted(world.workers))]
        world.note(f"worker {worker.identity.pid} is frozen")
        await worker.freeze(chance.uniform(0, 20))


async def _slow_disk(world: World, chance: Random) -> None:
    world.disk.slow_seconds = chance.choice((0.05, 1.0))
    await trio.sleep(chance.uniform(0, 20))
    world.disk.slow_seconds = 0.0


async def _full_disk(world: World, chance: Random) -> None:
    await world.wait_listening()  # a store that was never opened can't be, and the daemon says so
    world.note("the disk is full")
    world.disk.is_failing = True
    await trio.sleep(chance.uniform(0, 10))
    world.note("the disk has room")
    world.disk.is_failing = False


async def _no_processes(world: World, chance: Random) -> None:
    world.note("there is no process left")
    world.can_fork = False
    await trio.sleep(chance.uniform(0, 10))
    world.can_fork = True


def _clock_jump(world: World, chance: Random) -> None:
    world.clock_offset += chance.choice((-5, 5, -1 / 24)) * 86400


async def _lock_refs(world: World, chance: Random) -> None:
    """Somebody holds the lock of a result's ref."""
    ref = experiment_ref(world.baseline, f"c{chance.randrange(3)}-0")
    lock = world.project / ".git" / f"{ref}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    if lock.exists():
        return
    world.note(f"{lock.name} is held")
    lock.touch()
    await trio.sleep(chance.uniform(0, 20))
    lock.unlink()


async def _stop(world: World, chance: Random) -> None:
    if world.is_listening:
        ending = chance.choice(tuple(Ending))
        world.note(f"the daemon is told to stop: {ending}")
        await stop(world, ending)


TROUBLES: tuple[Trouble, ...] = (
    _kill_daemon,
    _kill_daemon,
    _kill_at_a_commit,
    _kill_at_a_commit,
    _kill_worker,
    _kill_worker,
    _kill_all,
    _reboot,
    _drop_connection,
    _freeze_worker,
    _slow_disk,
    _full_disk,
    _no_processes,
    _clock_jump,
    _lock_refs,
    _stop,
)
