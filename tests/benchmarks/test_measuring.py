"""The harness itself, without a clock: the order of the sides, what is counted, and what a wrong result does."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.arena import Arena, BenchmarkFailed
from benchmarks.checks import check_count
from benchmarks.command import TOLERANCE
from benchmarks.processes import wakes_between
from benchmarks.report import table
from benchmarks.row import OURS, Budget, Measured, Row, Side, faster, limit, measure, present, within
from benchmarks.rows import ROWS

NOWHERE = Arena(directory=Path("/"), ours=Path("/ours"), peer=Path("/peer"), environment={})


def test_sides_take_turns_and_warm_up_is_not_counted() -> None:
    """What slows the machine for a while hits both sides, and the first start of each is nobody's figure."""
    calls: list[str] = []
    row = Row(
        name="r",
        title="t",
        rounds=2,
        ours=_side("ours", calls),
        others={"peer": _side("peer", calls), "floor": _side("floor", calls)},
        units={"peer": 10},
    )

    measured = measure(row, NOWHERE)

    assert calls == ["ours", "peer", "floor"] * 3
    assert measured == Measured(row=row, seconds={"expd": [1.0, 2.0], "peer": [0.1, 0.2], "floor": [1.0, 2.0]})


def test_wakes_are_those_of_each_thread() -> None:
    """A thread that ended takes its count along, and woke for its end; one that came has all of its own."""
    assert wakes_between({"1": 10, "2": 20}, {"1": 13, "2": 20}) == 3
    assert wakes_between({"1": 10, "2": 20}, {"1": 10}) == 1
    assert wakes_between({"1": 10}, {"1": 10, "3": 4}) == 4


def test_ratio_compares_medians() -> None:
    """One slow round of a noisy machine does not move the ratio."""
    row = Row(name="r", title="t", rounds=3, ours=_side("ours", []), others={"peer": _side("peer", [])})

    measured = Measured(row=row, seconds={"expd": [0.1, 0.1, 9.0], "peer": [0.1, 1.0, 1.0]})

    assert measured.ratio("peer") == 10.0


def test_side_with_a_wrong_result_gives_no_figure() -> None:
    """A command that fails at once is the fastest of all, so a round that left too little ends the benchmark."""

    def fails(_arena: Arena, _number: int) -> float:
        check_count("refs", 19, 20)
        return 0.0

    row = Row(name="r", title="t", rounds=1, ours=fails, others={"peer": _side("peer", [])})

    with pytest.raises(BenchmarkFailed, match="refs: 20 were expected, not 19"):
        measure(row, NOWHERE)


def test_table_shows_units_that_can_be_read() -> None:
    """Milliseconds below a second, seconds above: nobody counts zeros."""
    row = _row(faster("dvc", 20))

    text = table([Measured(row=row, seconds={"expd": [0.05], "dvc": [1.25], "floor": [0.004]})])

    first, second = (" ".join(line.split()) for line in text.splitlines()[1:3])
    assert first == "r 1 50 ms (50 ms-50 ms) dvc 1.25 s (1.25 s-1.25 s) 25 20 times less"
    assert second == "r 1 50 ms (50 ms-50 ms) floor 4 ms (4 ms-4 ms) 0.08"


@pytest.mark.parametrize(
    ("budget", "missed", "missed_by_half"),
    [
        (faster("dvc", 20), False, False),
        (faster("dvc", 30), True, False),
        (faster("dvc", 40), True, True),
        (within("floor", 13), False, False),
        (within("floor", 10), True, False),
        (within("floor", 5), True, True),
    ],
)
def test_a_budget_is_kept_or_missed(budget: Budget, missed: bool, missed_by_half: bool) -> None:
    """We are 25 times as fast as the one and take 12.5 times as long as the other; a noisy machine is allowed half more."""
    measured = Measured(row=_row(budget), seconds={"expd": [0.05], "dvc": [1.25], "floor": [0.004]})

    assert (measured.missed() == [budget], measured.missed(TOLERANCE) == [budget]) == (missed, missed_by_half)


def _row(budget: Budget) -> Row:
    sides = {name: _side(name, []) for name in ("dvc", "floor")}
    return Row(name="r", title="t", rounds=1, ours=_side("ours", []), others=sides, budgets=[budget])


def test_a_figure_can_be_the_budget_itself() -> None:
    """Where nothing can be compared with, what was asked for stands beside what was seen, in its own unit."""
    row = Row(
        name="r",
        title="t",
        rounds=1,
        ours=_side("ours", []),
        others={"60 MB": limit(60e6)},
        budgets=[within("60 MB", 1)],
        unit="bytes",
    )
    measured = Measured(row=row, seconds={"expd": [75e6], "60 MB": [60e6]})

    line = " ".join(table([measured]).splitlines()[1].split())

    assert line == "r 1 75 MB (75 MB-75 MB) 60 MB 60 MB (60 MB-60 MB) 0.8 not more: missed"


def test_a_peer_that_is_missing_leaves_the_others() -> None:
    """Its figure and its budget are left out, with the reason; without our side, or with nothing beside it, there is no row."""
    row = Row(
        name="r",
        title="t",
        rounds=1,
        ours=_side("ours", []),
        others={name: _side(name, []) for name in ("peer", "floor")},
        budgets=[faster("peer", 2), within("floor", 2)],
    )

    without_peer, reasons = present(replace(row, missing={"peer": lambda: "not installed"}))
    without_us = present(replace(row, missing={OURS: lambda: "no counter"}))
    alone = present(replace(row, missing=dict.fromkeys(("peer", "floor"), lambda: "not installed")))

    assert without_peer is not None
    assert (list(without_peer.others), without_peer.budgets, reasons) == (
        ["floor"],
        [within("floor", 2)],
        {"peer": "not installed"},
    )
    assert without_us == (None, {OURS: "no counter"})
    assert alone == (None, {"peer": "not installed", "floor": "not installed"})


def test_a_part_of_the_size_is_never_nothing() -> None:
    """A row that is tried with a thousandth of its size still does its work once."""
    arena = replace(NOWHERE, scale=0.001)

    assert [arena.scaled(count) for count in (1, 50, 20_000)] == [1, 1, 20]


def test_rows_have_names_of_their_own() -> None:
    """A row is chosen by its name, and found again by it in the JSON of an earlier run."""
    assert len({row.name for row in ROWS}) == len(ROWS)


def _side(name: str, calls: list[str]) -> Side:
    """Give a side that takes as many seconds as its round's number."""

    def once(_arena: Arena, number: int) -> float:
        calls.append(name)
        return float(number)

    return once
