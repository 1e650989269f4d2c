"""Overrides with several values become points: every combination, each with one value for each key.

The order is DVC's: overrides are gathered by file, files in the order in which they were first named, and the first
override varies slowest. A key that is named twice in a sweep (with the same operator) keeps its first place and its last value.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import DEFAULT_FILE, Choice, Operation, Override, Range, parse, spelled

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from expd.prepare.overrides.values import Value

# Each point is a commit, a row and a run: ten thousand runs of a minute keep four slots busy for two days, and beyond that
# a typing error (`range(0,1,1e-9)`) is likelier than a wish. Whoever does wish for more submits twice.
POINTS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One combination of a sweep: overrides with one value each, in the order in which they apply.

    `number` counts the points of a sweep from 1.
    """

    number: int
    overrides: tuple[Override, ...]

    def values(self) -> dict[str, object]:
        """What this point sets, for display and names: `train.lr` or `other.toml:lr` → its plain value."""
        return {_label(override): override.value for override in self.overrides}

    def by_file(self) -> dict[str, tuple[Override, ...]]:
        """The overrides of each file that this point changes."""
        return {file: tuple(group) for file, group in itertools.groupby(self.overrides, key=lambda item: item.file)}


def is_sweep(texts: Sequence[str]) -> bool:
    """Whether any of these overrides stands for several values; raises OverrideError like `parse`."""
    return any(parse(text).is_sweep for text in texts)


def expand(
    texts: Sequence[str], limit: int = POINTS_MAX, rng: random.Random | None = None, *, has_groups: bool = False
) -> list[Point]:
    """Every point of the overrides' product; without a sweep that is one point, with its overrides in the order given.

    Raises OverrideError for an override that cannot be read, a sweep without values, and more than `limit` points.
    `rng` is what `shuffle` draws from; `has_groups` as in `parse`.
    """
    overrides = _by_file([parse(text, rng, has_groups=has_groups) for text in texts])
    if any(override.is_sweep for override in overrides):
        overrides = _last_of_each_key(overrides)
    axes: list[list[Override]] = []
    for override in overrides:
        axes.append(_axis(override, limit, rng))
        _check_size(override, math.prod(map(len, axes)), limit)
    return [Point(number=number, overrides=point) for number, point in enumerate(itertools.product(*axes), start=1)]


def _by_file(overrides: list[Override]) -> list[Override]:
    first_named = {override.file: None for override in overrides}
    return [override for file in first_named for override in overrides if override.file == file]


def _last_of_each_key(overrides: list[Override]) -> list[Override]:
    return list({(override.file, override.operation, override.key): override for override in overrides}.values())


def _axis(override: Override, limit: int, rng: random.Random | None) -> list[Override]:
    if not isinstance(override.value, Choice | Range):
        return [override]
    # One more than allowed is enough to know, and a range may have any number.
    values = list(itertools.islice(_listed(override.value), limit + 1))
    if not values:
        raise OverrideError(text=override.text, problem="this sweep has no values")
    _check_size(override, len(values), limit)
    return [spelled(override, value) for value in (_shuffled(values, rng) if override.value.shuffled else values)]


def _listed(sweep: Choice | Range) -> Iterator[Value]:
    if isinstance(sweep, Choice):
        return iter(sweep.values)
    start, stop, step = sweep.start, sweep.stop, sweep.step
    if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int):
        return iter(range(start, stop, step))
    return _floats(Decimal(start), Decimal(stop), Decimal(step))


def _floats(start: Decimal, stop: Decimal, step: Decimal) -> Iterator[float]:
    # Adding up, not multiplying: the last digits are then those that Hydra computes.
    while start < stop if step > 0 else start > stop:
        yield float(start)
        start += step


def _shuffled(values: list[Value], rng: random.Random | None) -> list[Value]:
    import random as chance  # noqa: PLC0415 - only a shuffle without a source of its own needs one

    return (rng or chance.SystemRandom()).sample(values, len(values))


def _check_size(override: Override, points: int, limit: int) -> None:
    if points > limit:
        problem = f"the sweep has more than {limit} points"
        raise OverrideError(text=override.text, problem=problem, hint="submit it in parts")


def _label(override: Override) -> str:
    key = f"~{override.key}" if override.operation is Operation.DELETE else override.key
    return key if override.file == DEFAULT_FILE else f"{override.file}:{key}"
