"""Which stage is next, by DVC's rules, without any stage."""

import pytest

from expd.execute.scheduling import Schedule
from expproto.stage_options import OnFailure, StageOptions

ORDER = ("prepare", "left", "right", "join", "other")
WAITS = {"left": ("prepare",), "right": ("prepare",), "join": ("left", "right")}
READERS = {"prepare": ("left", "right"), "left": ("join",), "right": ("join",), "join": (), "other": ()}


def a_schedule(*, force: bool = False, **options: object) -> Schedule:
    """Make the schedule of a diamond and a stage beside it."""
    typed = StageOptions(**options)  # type: ignore[arg-type]  # its fields
    return Schedule(ORDER, READERS, typed, force=force, waits=WAITS)


def gone_through(schedule: Schedule, *failing: str) -> list[str]:
    """Go through a schedule, letting some stages fail; gives those that were started."""
    started = []
    while (address := schedule.start_next()) is not None:
        started.append(address)
        if address in failing:
            schedule.fail(address)
        schedule.end(address, has_run=False)
    return started


@pytest.mark.parametrize(
    ("on_failure", "failing", "started"),
    [
        (OnFailure.STOP, (), ORDER),
        (OnFailure.STOP, ("left",), ("prepare", "left")),
        (OnFailure.KEEP_GOING, ("left",), ("prepare", "left", "right", "other")),
        (OnFailure.KEEP_GOING, ("prepare",), ("prepare", "other")),
        (OnFailure.KEEP_GOING, ("left", "right"), ("prepare", "left", "right", "other")),
        (OnFailure.IGNORE, ("prepare", "left"), ORDER),
    ],
)
def test_failure_leaves_out_what_the_option_says(
    on_failure: OnFailure, failing: tuple[str, ...], started: tuple[str, ...]
) -> None:
    """The first failure ends it, or leaves out what needs the stage, directly or not, or nothing."""
    assert tuple(gone_through(a_schedule(on_failure=on_failure), *failing)) == started


def test_failure_names_what_it_leaves_out() -> None:
    """With --keep-going whoever reads the log learns what was skipped, in order, and each once."""
    schedule = a_schedule(on_failure=OnFailure.KEEP_GOING)
    schedule.start_next()

    assert schedule.fail("prepare") == ["left", "right", "join"]


def test_force_is_for_every_stage() -> None:
    """With --force each stage runs, whatever is known of it."""
    assert [a_schedule(force=True).is_forced(address) for address in ORDER] == [True] * len(ORDER)


@pytest.mark.parametrize(("has_run", "forced"), [(True, ["left", "right"]), (False, [])])
def test_force_downstream_forces_direct_readers_of_what_ran(*, has_run: bool, forced: list[str]) -> None:
    """What reads from a stage that ran has to run; a stage that was up to date forces nobody."""
    schedule = a_schedule(force_downstream=True)
    schedule.start_next()
    schedule.end("prepare", has_run=has_run)

    assert [address for address in ORDER if schedule.is_forced(address)] == forced


def test_what_was_forced_forces_on() -> None:
    """Force goes on downstream, and not without the option."""
    schedule = a_schedule(force_downstream=True)
    for _stage in ("prepare", "left"):
        address = schedule.start_next()
        assert address is not None
        schedule.end(address, has_run=address == "prepare")
    plain = a_schedule()
    plain.start_next()
    plain.end("prepare", has_run=True)

    assert schedule.is_forced("join")
    assert not plain.is_forced("left")


def started_at_once(schedule: Schedule) -> list[str]:
    """Start all that may be started now."""
    started = []
    while (address := schedule.start_next()) is not None:
        started.append(address)
    return started


def test_side_by_side_is_what_waits_for_nobody() -> None:
    """Stages start when those they wait for have ended, the first of the plan first, and never more than asked for."""
    schedule = a_schedule(stage_jobs=2)

    assert started_at_once(schedule) == ["prepare", "other"]
    schedule.end("other", has_run=True)
    assert started_at_once(schedule) == []
    schedule.end("prepare", has_run=True)
    assert started_at_once(schedule) == ["left", "right"]
    schedule.end("right", has_run=True)
    assert started_at_once(schedule) == []
    schedule.end("left", has_run=True)
    assert started_at_once(schedule) == ["join"]


@pytest.mark.parametrize("jobs", [None, 1])
def test_one_at_a_time_is_the_plan(jobs: int | None) -> None:
    """With one at a time a stage starts when the one before it has ended."""
    schedule = a_schedule(stage_jobs=jobs)

    assert started_at_once(schedule) == ["prepare"]
    assert started_at_once(schedule) == []


@pytest.mark.parametrize(
    ("on_failure", "left_out", "later"),
    [
        (OnFailure.STOP, ["left", "right", "join"], []),
        (OnFailure.KEEP_GOING, ["left", "right", "join"], []),
        (OnFailure.IGNORE, [], ["left", "right"]),
    ],
)
def test_failure_lets_what_runs_go_on(on_failure: OnFailure, left_out: list[str], later: list[str]) -> None:
    """Nothing that is left out starts, and what has started still ends."""
    schedule = a_schedule(stage_jobs=4, on_failure=on_failure)
    started_at_once(schedule)

    assert schedule.fail("prepare") == left_out
    schedule.end("prepare", has_run=False)
    assert started_at_once(schedule) == later
    schedule.end("other", has_run=True)
    assert started_at_once(schedule) == []
