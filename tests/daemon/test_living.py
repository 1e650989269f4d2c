"""The names of a queue, as the thread that prepares a submission asks for them."""

import trio

from daemon.queues import Queue
from expd.serve.living import LivingNames
from expproto.vocabulary import Failed


async def test_names_are_known_however_many_are_asked_for(queue: Queue) -> None:
    """The first ones are looked up, the rest is read at once; both give the same answer."""
    await queue.submit("ended", *(f"n{number}" for number in range(40)))
    await queue.run(Failed(stage="train", exit_code=3))
    asked = ["ended", *(f"n{number}" for number in range(0, 80, 2)), "ended"]
    names = LivingNames(queue, "/r/.git")

    found = await trio.to_thread.run_sync(lambda: [name in names for name in asked])

    assert found == [False, *[True] * 20, *[False] * 20, False]
