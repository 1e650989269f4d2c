"""A row of the comparison: what is measured, for us and for others; what it should come to; and what was seen."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal

from benchmarks.arena import FILES, Arena

OURS = "expd"
Side = Callable[[Arena, int], float]
"""Does round number `n` once and gives the seconds it took, or another figure of which less is better; raises if the result is not what it has to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the ratio of the other side's figure to ours has to be at least; below one where we may be slower."""

    against: str
    at_least: float

    @property
    def words(self) -> str:
        """Say it as people do: `20 times less`, `at most 1.4 times as much`, `not more`."""
        if self.at_least > 1:
            return f"{self.at_least:g} times less"
        return f"at most {1 / self.at_least:.3g} times as much" if self.at_least < 1 else "not more"


def faster(against: str, times: float) -> Budget:
    """Ask that we are so many times faster, or take so many times less."""
    return Budget(against=against, at_least=times)


def within(against: str, times: float) -> Budget:
    """Ask that we take at most so many times as long."""
    return Budget(against=against, at_least=1 / times)


def limit(value: float) -> Side:
    """Give the budget itself as a side, where it is a figure and no comparison."""
    return lambda _arena, _number: value


Unit = Literal["seconds", "bytes", "count"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison. The sides take turns, so that what else happens on the machine hits all of them."""

    name: str
    title: str
    rounds: int
    ours: Side
    others: Mapping[str, Side]
    """Peers, and floors: what nothing of the kind can be faster than, such as the start of the interpreter."""
    budgets: Sequence[Budget] = ()
    units: Mapping[str, int] = field(default_factory=dict)
    """How many things a side does in a round, where the sides do different numbers: figures are for one of them."""
    unit: Unit = "seconds"
    files: Mapping[str, str] = field(default_factory=lambda: FILES)
    """What each side's project begins with."""
    missing: Mapping[str, Callable[[], str | None]] = field(default_factory=dict)
    """Say why a side can't be measured here, if it can't; without ours, or without anything beside it, there is no row."""
    remark: Callable[[Arena], str] | None = None
    """What else is to be said of our side when all rounds are done, such as its memory."""
    warm_up_rounds: int = 1
    """Rounds that are done and checked like any other, and not counted: caches fill, bytecode is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The figure of each counted round for each side, for one unit; ours under OURS."""

    row: Row
    seconds: Mapping[str, Sequence[float]]
    remark: str = ""

    def median(self, side: str) -> float:
        """Give the middle one, which a single slow round does not move."""
        return median(self.seconds[side])

    def ratio(self, side: str) -> float:
        """Give how many times as much as we a side takes, by the medians; without end where we take nothing."""
        ours = self.median(OURS)
        return self.median(side) / ours if ours else math.inf

    def missed(self, tolerance: float = 1.0) -> list[Budget]:
        """Give the budgets that are missed by more than a factor."""
        return [budget for budget in self.row.budgets if self.ratio(budget.against) * tolerance < budget.at_least]


def present(row: Row) -> tuple[Row | None, dict[str, str]]:
    """Give what of a row can be measured here, and for each side that can't the reason."""
    reasons = {side: reason for side, ask in row.missing.items() if (reason := ask()) is not None}
    others = {name: side for name, side in row.others.items() if name not in reasons}
    if OURS in reasons or not others:
        return None, reasons
    budgets = [budget for budget in row.budgets if budget.against in others]
    return replace(row, others=others, budgets=budgets), reasons


def measure(row: Row, arena: Arena) -> Measured:
    """Run all rounds of a row, the sides in turn; raises whatever a side raises about a wrong result."""
    sides = {OURS: row.ours, **row.others}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(row.warm_up_rounds + row.rounds):
        seen = {name: side(arena, number) / row.units.get(name, 1) for name, side in sides.items()}
        if number >= row.warm_up_rounds:
            for name, value in seen.items():
                seconds[name].append(value)
    return Measured(row=row, seconds=seconds, remark=row.remark(arena) if row.remark is not None else "")
