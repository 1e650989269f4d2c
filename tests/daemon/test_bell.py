"""Bells: a change between the look and the wait has rung already."""

import pytest
import trio

from expd.bell import Bell, wait_first


async def test_a_ring_wakes_everyone_who_listens() -> None:
    """However many wait, one ring is enough for all."""
    bell, woken = Bell(), list[int]()

    async def listen(number: int) -> None:
        await bell.next_ring.wait()
        woken.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(listen, number)
        await trio.testing.wait_all_tasks_blocked()
        bell.ring()

    assert sorted(woken) == [0, 1, 2, 3, 4]


async def test_a_ring_before_the_wait_is_not_missed() -> None:
    """What was taken before the look is set by a ring during the look, and the wait returns at once."""
    bell = Bell()
    taken = bell.next_ring

    bell.ring()

    with trio.fail_after(1):
        await taken.wait()


def test_a_ring_is_heard_once() -> None:
    """What is taken after a ring waits for the next one."""
    bell = Bell()
    bell.ring()

    assert not bell.next_ring.is_set()


async def test_the_first_of_several_events_is_enough() -> None:
    """Waiting for several ends with the first that is set, also if it was set before."""
    never, now = trio.Event(), trio.Event()
    now.set()

    with trio.fail_after(1):
        await wait_first(never, now)


async def test_who_listens_to_one_bell_hears_those_that_ring_it_too() -> None:
    """Before and after a wait; the bell that is rung too rings no other by itself."""
    one, other, both = Bell(), Bell(), Bell()
    one.rings_too(both)
    other.rings_too(both)
    taken, alone = both.next_ring, one.next_ring

    other.ring()

    with trio.fail_after(1):
        await wait_first(taken)
    assert not both.next_ring.is_set()
    assert not alone.is_set()


async def test_waiting_for_several_can_be_cancelled() -> None:
    """A cancelled wait ends as cancelled: the caller's scope is not mistaken for a ring."""
    with trio.move_on_after(0) as scope:
        await wait_first(trio.Event(), trio.Event())
        pytest.fail("nothing has rung")

    assert scope.cancelled_caught
