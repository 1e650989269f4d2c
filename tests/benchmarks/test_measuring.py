"""The harness itself, without a clock: the order of the sides, what is counted, and what a wrong result does."""

from pathlib import Path

import pytest

from benchmarks.arena import Arena, BenchmarkFailed
from benchmarks.checks import check_count
from benchmarks.report import table
from benchmarks.row import Measured, Row, Side, measure
from benchmarks.rows import ROWS

NOWHERE = Arena(directory=Path("/"), ours=Path("/ours"), peer=Path("/peer"), environment={})


def test_sides_take_turns_and_warm_up_is_not_counted() -> None:
    """What slows the machine for a while hits both sides, and the first start of each is nobody's figure."""
    calls: list[str] = []
    row = Row(
        name="r", title="t", rounds=2, ours=_side("ours", calls), peer=_side("peer", calls), floor=_side("floor", calls)
    )

    measured = measure(row, NOWHERE)

    assert calls == ["ours", "peer", "floor"] * 3
    assert measured == Measured(row=row, ours=[1.0, 2.0], peer=[1.0, 2.0], floor=[1.0, 2.0])


def test_ratio_compares_medians() -> None:
    """One slow round of a noisy machine does not move the ratio."""
    row = Row(name="r", title="t", rounds=3, ours=_side("ours", []), peer=_side("peer", []))

    measured = Measured(row=row, ours=[0.1, 0.1, 9.0], peer=[0.1, 1.0, 1.0], floor=[])

    assert measured.ratio == 10.0


def test_side_with_a_wrong_result_gives_no_figure() -> None:
    """A command that fails at once is the fastest of all, so a round that left too little ends the benchmark."""

    def fails(_arena: Arena, _number: int) -> float:
        check_count("refs", 19, 20)
        return 0.0

    row = Row(name="r", title="t", rounds=1, ours=fails, peer=_side("peer", []))

    with pytest.raises(BenchmarkFailed, match="refs: 20 were expected, not 19"):
        measure(row, NOWHERE)


def test_table_shows_units_that_can_be_read() -> None:
    """Milliseconds below a second, seconds above: nobody counts zeros."""
    row = Row(name="submit", title="submit one", rounds=1, ours=_side("ours", []), peer=_side("peer", []))

    text = table([Measured(row=row, ours=[0.05], peer=[1.25], floor=[0.016])])

    assert text.splitlines()[1].split() == [
        *("submit", "1", "50", "ms", "(50", "ms-50", "ms)", "1.25", "s", "(1.25", "s-1.25", "s)", "16", "ms", "25.0")
    ]


def test_rows_have_names_of_their_own() -> None:
    """A row is chosen by its name, and found again by it in the JSON of an earlier run."""
    assert len({row.name for row in ROWS}) == len(ROWS)


def _side(name: str, calls: list[str]) -> Side:
    """Give a side that takes as many seconds as its round's number."""

    def once(_arena: Arena, number: int) -> float:
        calls.append(name)
        return float(number)

    return once
