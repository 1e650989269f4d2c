"""The rules of retention: what is newest stays, each bound counts, and what lives is never listed."""

import math
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from daemon.queues import RESULT, Queue
from expd.queueing.retention import Clocks, Item, Rule, counted_to, given_up
from expd.settings import Retention
from expd.upkeep.recovering import Recovery
from expd.upkeep.retaining import Collector
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


DAY = 86400.0
START = Clocks(wall=1000 * DAY, boot=5 * DAY)


@pytest.mark.parametrize(
    ("wall_days", "boot_days", "newest_days", "counted_days"),
    [
        pytest.param(1010, 15, 999, 1010, id="time passes"),
        pytest.param(1400, 15, 999, 1010, id="the clock is set forward while the daemon runs"),
        pytest.param(900, 15, 999, 900, id="and back"),
        pytest.param(1000, 5, 990, -math.inf, id="nothing has happened for long, or the clock was set: wait a day"),
        pytest.param(1002, 7, 990, 1002, id="a day later"),
        pytest.param(1000, 5, None, 1000, id="nothing has ever happened"),
    ],
)
def test_a_clock_that_was_set_makes_nothing_old(
    wall_days: float, boot_days: float, newest_days: float | None, counted_days: float
) -> None:
    """What passes is what the clock of the boot says; what may have passed before counts from the second day on."""
    now = Clocks(wall=wall_days * DAY, boot=boot_days * DAY)

    counted = counted_to(START, now, None if newest_days is None else newest_days * DAY)

    assert counted == pytest.approx(counted_days * DAY, abs=3600)


async def test_a_daemon_whose_clock_is_years_ahead_collects_nothing_by_itself(queue: Queue, tmp_path: Path) -> None:
    """Its user may: whoever asks for a collection sees what would go. The entries of these tests are of 1970."""

    async def nothing_elsewhere(*, is_dry: bool) -> list[str]:
        del is_dry
        await trio.lowlevel.checkpoint()
        return []

    await queue.submit("a")
    await queue.run(FAILED)
    collector = Collector(queue, Recovery(queue, tmp_path, (), 0.0), Retention(), tmp_path, nothing_elsewhere)

    by_itself, _problems = await collector.collect(is_dry=True, by_itself=True)
    asked_for, _problems = await collector.collect(is_dry=True)

    assert by_itself == []
    assert [(each.what, each.rule) for each in asked_for if each.what == "entry"] == [("entry", "age")]


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
