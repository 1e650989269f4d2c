"""A row of the comparison: what is measured, for us, for the peer and for the floor; and what was seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.arena import Arena

Side = Callable[[Arena, int], float]
"""Does round number `n` once and gives the seconds it took; raises if the result is not what it has to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison. The sides take turns, so that what else happens on the machine hits all of them."""

    name: str
    title: str
    rounds: int
    ours: Side
    peer: Side
    floor: Side | None = None
    """What nothing of the kind can be faster than, such as the start of the interpreter."""
    remark: Callable[[Arena], str] | None = None
    """What else is to be said of our side when all rounds are done, such as its memory."""
    warm_up_rounds: int = 1
    """Rounds that are done and checked like any other, and not counted: caches fill, bytecode is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The seconds of each counted round, side by side."""

    row: Row
    ours: Sequence[float]
    peer: Sequence[float]
    floor: Sequence[float]
    remark: str = ""

    @property
    def ratio(self) -> float:
        """How many times as long the peer takes, by the medians."""
        return median(self.peer) / median(self.ours)


def measure(row: Row, arena: Arena) -> Measured:
    """Run all rounds of a row, the sides in turn; raises whatever a side raises about a wrong result."""
    ours: list[float] = []
    peer: list[float] = []
    floor: list[float] = []
    for number in range(row.warm_up_rounds + row.rounds):
        seen = (row.ours(arena, number), row.peer(arena, number), row.floor(arena, number) if row.floor else None)
        if number < row.warm_up_rounds:
            continue
        ours.append(seen[0])
        peer.append(seen[1])
        if seen[2] is not None:
            floor.append(seen[2])
    return Measured(
        row=row, ours=ours, peer=peer, floor=floor, remark=row.remark(arena) if row.remark is not None else ""
    )
