"""Sweeps: which points there are, in which order, and where they end."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import parse
from expd.prepare.overrides.sweeps import POINTS_MAX, expand, is_sweep

# A busy machine is no reason to fail.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def texts_of(*texts: str) -> list[list[str]]:
    """The points of these overrides, each as the texts that it stands for."""
    return [[override.text for override in point.overrides] for point in expand(texts)]


def test_overrides_without_a_sweep_are_one_point_in_their_order() -> None:
    """Nothing is dropped or reordered where there is nothing to combine."""
    assert texts_of("b=1", "a=2", "b=3") == [["b=1", "a=2", "b=3"]]


def test_no_overrides_are_one_point_without_values() -> None:
    """An experiment without overrides is a point like any other."""
    (point,) = expand([])

    assert (point.number, point.overrides, point.values()) == (1, (), {})


def test_first_override_varies_slowest() -> None:
    """The order is that of nested loops, the first override outermost."""
    assert texts_of("a=1,2", "b=x,y") == [["a=1", "b=x"], ["a=1", "b=y"], ["a=2", "b=x"], ["a=2", "b=y"]]


def test_files_vary_in_the_order_in_which_they_are_first_named() -> None:
    """An override typed late belongs to its file's group, and that group's place counts."""
    points = texts_of("a=1,2", "f.toml:b=1,2", "c=3,4")

    assert points[:3] == [["a=1", "c=3", "f.toml:b=1"], ["a=1", "c=3", "f.toml:b=2"], ["a=1", "c=4", "f.toml:b=1"]]


def test_points_hold_values_for_display() -> None:
    """A table's columns are the keys, with the file where it is not the usual one."""
    points = expand(["train.lr=0.1,1e-3", "f.toml:seed=3", "~old"])

    assert [point.values() for point in points] == [
        {"train.lr": 0.1, "f.toml:seed": 3, "~old": None},
        {"train.lr": 0.001, "f.toml:seed": 3, "~old": None},
    ]


def test_points_group_their_overrides_by_file() -> None:
    """Whoever edits the files finds each file's overrides together."""
    (point,) = expand(["a=1", "f.toml:b=2", "c=3"])

    assert {file: [item.key for item in group] for file, group in point.by_file().items()} == {
        "params.yaml": ["a", "c"],
        "f.toml": ["b"],
    }


def test_points_are_numbered_from_one() -> None:
    """The number is the one in the experiment's name."""
    assert [point.number for point in expand(["a=1,2,3"])] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "swept"), [("a=1,2", True), ("a='1,2'", False), ("a=[1,2]", False), ("a=range(3)", True), ("~a", False)]
)
def test_sweep_is_recognized(text: str, swept: bool) -> None:
    """A list is one value; several values are a sweep."""
    assert is_sweep(["b=1", text]) is swept


def test_repeated_key_of_a_sweep_keeps_its_last_values() -> None:
    """A later override of the same key replaces the earlier one, as in DVC, and no point comes twice."""
    assert texts_of("a=1,2", "b=5", "a=3,4") == [["a=3", "b=5"], ["a=4", "b=5"]]


def test_limit_is_an_error_before_the_points_are_made() -> None:
    """A sweep beyond the limit is refused at once, also where it has more points than memory could hold."""
    with pytest.raises(OverrideError, match="more than 10000 points"):
        expand([f"a{index}=1,2,3,4,5,6,7,8,9,10" for index in range(40)])


def test_limit_holds_for_a_range_that_hardly_ends() -> None:
    """A step too small to move is found by counting, not by waiting."""
    with pytest.raises(OverrideError, match=f"more than {POINTS_MAX} points"):
        expand(["a=range(0,1,1e-300)"])


def test_limit_itself_is_allowed() -> None:
    """The limit is the largest number that works."""
    assert len(expand(["a=1,2", "b=1,2"], limit=4)) == 4
    with pytest.raises(OverrideError):
        expand(["a=1,2", "b=1,2"], limit=3)


@pytest.mark.parametrize("text", ["a=range(0)", "a=range(1,0)", "a=range(0,1,-0.1)"])
def test_sweep_without_values_is_refused(text: str) -> None:
    """A sweep of nothing is a mistake, not a success with no experiments."""
    with pytest.raises(OverrideError, match="no values"):
        expand([text])


@pytest.mark.parametrize("text", ["a=shuffle(1,2,3,4,5,6)", "a=shuffle(range(1,7))", "a=shuffle(choice(1,2,3,4,5,6))"])
def test_shuffle_draws_from_the_given_source(text: str) -> None:
    """The same source gives the same order, every value once."""
    first, second = (expand([text], rng=random.Random(2)) for _ in range(2))

    values = [point.values()["a"] for point in first]
    assert first == second
    assert values != [1, 2, 3, 4, 5, 6]
    assert set(values) == {1, 2, 3, 4, 5, 6}


def test_shuffle_needs_no_source_of_the_callers() -> None:
    """Without a source of its own, a shuffle uses the system's."""
    assert {point.values()["a"] for point in expand(["a=shuffle(1,2)"])} == {1, 2}


WORDS = st.lists(st.sampled_from(["1", "x", "0.5", "null", "a/b"]), min_size=1, max_size=3)


@PATIENT
@given(st.lists(WORDS, max_size=4))
def test_points_are_the_product_and_can_be_typed_again(axes: list[list[str]]) -> None:
    """Every combination comes once, in the order of a nested loop, and each point's texts expand to that point alone."""
    points = expand([f"k{index}={','.join(words)}" for index, words in enumerate(axes)])

    assert [[item.value for item in point.overrides] for point in points] == [
        [parse(f"a={word}").value for word in words] for words in itertools.product(*axes)
    ]
    for point in points:
        (again,) = expand([item.text for item in point.overrides])
        assert again.overrides == point.overrides
