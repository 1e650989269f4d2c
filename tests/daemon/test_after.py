"""What waits for other entries: let go, skipped, revived; in the same transaction as what it waits for ends or begins anew."""

import itertools

import pytest

from daemon.queues import RESULT, Queue
from expd.queueing.dependents import Condition, Dependency, is_met
from expproto.vocabulary import Cancelled, EntryId, EntryState, Failed, Lost, Outcome, Skipped, Succeeded

GOOD, BAD = Succeeded(rev=RESULT), Failed(stage="train", exit_code=1)
ENDS: dict[str, Outcome] = {"good": GOOD, "bad": BAD, "cancelled": Cancelled(reason="no"), "lost": Lost(reason="gone")}
WANTED: dict[Condition, set[str]] = {"ok": {"good"}, "any": set(ENDS), "failed": {"bad", "cancelled", "lost"}}


def _after(*needs: int, condition: Condition = "ok") -> tuple[Dependency, ...]:
    return tuple(Dependency(needs=EntryId(number), condition=condition) for number in needs)


async def _states(queue: Queue, *numbers: int) -> list[str]:
    """Give state, or outcome, of entries."""
    found = [await queue.entry(EntryId(number)) for number in numbers]
    return [entry.outcome.kind if entry.outcome else entry.state.value for entry in found if entry is not None]


@pytest.mark.parametrize(("condition", "end"), list(itertools.product(WANTED, ENDS)))
def test_each_condition_wants_its_ends(condition: Condition, end: str) -> None:
    """`ok` is success alone, `failed` every other end, `any` all of them."""
    assert is_met(condition, ENDS[end]) == (end in WANTED[condition])


async def test_an_entry_waits_until_all_it_needs_has_ended(queue: Queue) -> None:
    """It is neither claimed nor counted before; it says for what it waits."""
    await queue.submit("a", "b")
    (behind,) = await queue.submit("behind", after=_after(1, 2))
    await queue.run(GOOD)
    between = await queue.entry(EntryId(3))
    pool = await queue.pool()
    await queue.run(GOOD)

    assert between is not None
    assert (behind.waits_for, between.waits_for) == ((1, 2), (2,))
    assert (pool.queued, pool.deferred) == (1, 1)
    assert (await queue.take()).id == 3


async def test_what_can_never_run_is_skipped_with_all_behind_it(queue: Queue) -> None:
    """At once, with the reason; what wanted just that, or any end, goes on."""
    await queue.submit("a")
    await queue.submit("needs-it", after=_after(1))
    await queue.submit("behind-that", after=_after(2))
    await queue.submit("after-failure", after=_after(1, condition="failed"))
    await queue.submit("after-skipped", after=_after(2, condition="any"))

    await queue.run(BAD)

    skipped = await queue.entry(EntryId(2))
    assert skipped is not None
    assert skipped.outcome == Skipped(reason="skipped: entry 1, which it waits for, did not succeed (--after 1:ok)")
    assert await _states(queue, 3, 4, 5) == ["skipped", "queued", "queued"]
    assert [(await queue.take()).id for _entry in range(2)] == [4, 5]


async def test_a_retry_revives_what_was_skipped(queue: Queue) -> None:
    """All that was skipped because of it waits again, one behind the other, and runs once it has succeeded."""
    await queue.submit("a")
    await queue.submit("b", after=_after(1))
    await queue.submit("c", after=_after(2))
    await queue.run(BAD)
    await queue.retry([EntryId(1)], None, 10.0)
    waiting = await _states(queue, 1, 2, 3)
    for _entry in range(3):
        await queue.run(GOOD)

    assert waiting == ["queued", "queued", "queued"]
    assert await _states(queue, 1, 2, 3) == ["succeeded"] * 3


@pytest.mark.parametrize(("end", "state"), [(GOOD, EntryState.QUEUED), (BAD, EntryState.DONE)])
async def test_what_has_ended_already_is_looked_at_when_it_is_submitted(
    queue: Queue, end: Outcome, state: EntryState
) -> None:
    """An end that lies behind counts like one that is to come."""
    await queue.submit("a")
    await queue.run(end)

    (entry,) = await queue.submit("b", after=_after(1))

    assert entry.state is state


async def test_a_cancelled_entry_is_waited_for_by_nobody(queue: Queue) -> None:
    """What waits for one that is cancelled in the queue is skipped with it; what is removed is waited for no more."""
    await queue.submit("a", "b")
    await queue.submit("c", after=_after(1))
    await queue.cancel([EntryId(1)], "no", 2.0)
    states = await _states(queue, 3)

    await queue.remove([EntryId(1)])
    (again,) = await queue.retry([EntryId(3)], None, 3.0)

    assert states == ["skipped"]
    assert (again.state, again.waits_for) == (EntryState.QUEUED, ())
