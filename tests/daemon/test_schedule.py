"""The schedule's arithmetic, over every pool there can be."""

from hypothesis import given
from hypothesis import strategies as st

from expd.queueing.schedule import PoolState, Starts, starts_now, waits_for

COUNTS = st.integers(0, 2000)
POOLS = st.builds(PoolState, jobs=COUNTS, paused=st.booleans(), running=COUNTS, queued=COUNTS, immediate=COUNTS)


@given(POOLS)
def test_slots_and_queue_are_used_up_and_never_exceeded(pool: PoolState) -> None:
    """What starts fits the free slots and the queue, and one of the two is empty afterwards."""
    starts = starts_now(pool, draining=False)

    free = max(0, pool.jobs - pool.running)
    assert starts == Starts(immediate=pool.immediate, queued=0 if pool.paused else min(free, pool.queued))


@given(POOLS)
def test_nothing_starts_while_draining(pool: PoolState) -> None:
    """A daemon on its way out claims no entry, however many wait."""
    assert starts_now(pool, draining=True) == Starts(immediate=0, queued=0)


@given(POOLS)
def test_a_slot_taken_away_stops_nothing(pool: PoolState) -> None:
    """With fewer slots than runs nothing is started, and nothing is asked to end."""
    more_than_slots = PoolState(jobs=pool.jobs, paused=False, running=pool.jobs + 1, queued=pool.queued)

    assert starts_now(more_than_slots, draining=False).queued == 0


def test_what_an_entry_waits_for_is_said_in_words() -> None:
    """The nearest reason is named first, with the command that removes it."""

    def reason(*, jobs: int = 1, paused: bool = False, running: int = 0, ahead: int = 0) -> str:
        return waits_for(PoolState(jobs=jobs, paused=paused, running=running, queued=9), ahead=ahead)

    assert reason(paused=True, ahead=3) == "the pool is paused: expctl resume"
    assert reason(jobs=0, ahead=3) == "the pool has no slots: expctl jobs N"
    assert reason(running=1, ahead=3) == "3 ahead in the queue"
    assert reason(running=1) == "a free slot"
    assert reason() == "its worker"
