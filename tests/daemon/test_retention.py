"""The rules of retention: what is newest stays, each bound counts, and what lives is never listed."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.queues import RESULT, Queue
from expd.queueing.retention import Item, Rule, given_up
from expproto.vocabulary import Failed, Succeeded

NOW = 1000.0
FAILED = Failed(stage="s", exit_code=1)
_items = st.lists(
    st.builds(Item, key=st.integers(0, 10**6), at=st.floats(0, NOW), size=st.integers(0, 100)),
    max_size=20,
    unique_by=lambda item: item.key,
)
_rules = st.builds(
    Rule,
    seconds_max=st.none() | st.floats(0, NOW),
    count_max=st.none() | st.integers(0, 20),
    size_max=st.none() | st.integers(0, 500),
)


@given(items=_items, rule=_rules)
def test_what_stays_is_within_every_bound(items: list[Item], rule: Rule) -> None:
    """Neither older, more nor larger than said; and nothing newer goes while something older of any size stays by count."""
    gone = {item.key: why for item, why in given_up(items, rule, NOW)}
    kept = [item for item in items if item.key not in gone]

    assert rule.seconds_max is None or all(NOW - item.at <= rule.seconds_max for item in kept)
    assert rule.count_max is None or len(kept) <= rule.count_max
    assert rule.size_max is None or sum(item.size for item in kept) <= rule.size_max
    if "age" not in gone.values() and kept and gone:
        assert max(items, key=lambda item: (item.at, item.key)).key not in gone or rule.size_max is not None
    assert set(gone.values()) <= {"age", "count", "size"}


@given(items=_items)
def test_without_bounds_everything_stays(items: list[Item]) -> None:
    """No rule, no garbage."""
    assert list(given_up(items, Rule(), NOW)) == []


def test_the_oldest_go_first() -> None:
    """Of three, two fit: by count and by size it is the oldest that goes."""
    items = [Item(key=1, at=1.0, size=10), Item(key=2, at=2.0, size=10), Item(key=3, at=3.0, size=10)]

    assert [(item.key, why) for item, why in given_up(items, Rule(count_max=2), NOW)] == [(1, "count")]
    assert [(item.key, why) for item, why in given_up(items, Rule(size_max=25), NOW)] == [(1, "size")]
    assert [(item.key, why) for item, why in given_up(items, Rule(seconds_max=997.5), NOW)] == [(2, "age"), (1, "age")]


async def test_of_a_sweep_that_goes_on_nothing_is_given_up(queue: Queue) -> None:
    """While one of its points waits, the others count for --max-failures, and their environment is needed."""
    await queue.submit("a", "b")
    await queue.submit("c")
    await queue.run(FAILED)
    done_first = [item.key for item in await queue.done_everywhere()]
    environments_first = await queue.environments()
    await queue.run(FAILED)
    await queue.run(Succeeded(rev=RESULT))

    assert (done_first, environments_first) == ([], [])
    assert [item.key for item in await queue.done_everywhere()] == [1, 2, 3]
    assert [(item.key, item.at) for item in await queue.environments()] == [(1, 9.0)]
    assert [(run.run, run.entry) for run in await queue.ended_runs()] == [(1, 1), (2, 2), (3, 3)]


async def test_an_environment_is_not_wiped_under_a_retry(queue: Queue) -> None:
    """Listed, and then run again: it is there for the next attempt."""
    (entry,) = await queue.submit("a")
    await queue.run(FAILED)
    (item,) = await queue.environments()
    await queue.retry([entry.id], None, 10.0)

    await queue.wipe_environment(item.key)

    assert await queue.has_environment(entry)
