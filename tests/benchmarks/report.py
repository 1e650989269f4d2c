"""What was measured as a table for people and as JSON for comparing later; the machine and the versions beside it."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from benchmarks.row import OURS, Measured, Unit

SCHEMA = 3

_HEADING = ("row", "rounds", "expd", "(min-max)", "against", "", "(min-max)", "ratio", "budget")
_NUMBERS = range(1, 8)


def table(rows: Sequence[Measured]) -> str:
    """Give the medians with their spread and the ratio, one line for each that we are compared with."""
    lines = [_HEADING, *(_line(row, other) for row in rows for other in row.row.others)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADING))]
    aligned = ("  ".join(_aligned(line, widths)).rstrip() for line in lines)
    titles = (f"{row.row.name}: {row.row.title}" + (f"; {row.remark}" if row.remark else "") for row in rows)
    return "\n".join([*aligned, "", *titles])


def document(rows: Sequence[Measured], machine: Mapping[str, object]) -> dict[str, object]:
    """Give everything that was seen, every round of it, as JSON can hold it."""
    return {"schema": SCHEMA, "machine": machine, "rows": [_row(row) for row in rows]}


def load() -> list[float]:
    """Give the load average of the last 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def surroundings() -> dict[str, object]:
    """Give when and on what it was measured, in general words."""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "git": git,
        "dvc": version("dvc"),
        "expd": version("expd"),
        "expd_rev": _revision(),
    }


def _revision() -> str:
    """Give the commit that is measured, with a mark if the files differ from it; empty outside a repository."""
    argv = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def _line(row: Measured, other: str) -> tuple[str, ...]:
    budgets = [budget for budget in row.row.budgets if budget.against == other]
    missed = row.missed()
    return (
        row.row.name,
        str(len(row.seconds[OURS])),
        _figure(row.median(OURS), row.row.unit),
        _spread(row.seconds[OURS], row.row.unit),
        other,
        _figure(row.median(other), row.row.unit),
        _spread(row.seconds[other], row.row.unit),
        f"{row.ratio(other):.3g}",
        "; ".join(f"{budget.words}{': missed' if budget in missed else ''}" for budget in budgets),
    )


def _row(row: Measured) -> dict[str, object]:
    return {
        "name": row.row.name,
        "title": row.row.title,
        "unit": row.row.unit,
        "ratios": {other: round(row.ratio(other), 3) for other in row.row.others},
        "budgets": [
            {"against": budget.against, "at_least": budget.at_least, "missed": budget in row.missed()}
            for budget in row.row.budgets
        ],
        "figures": {name: [round(value, 6) for value in values] for name, values in row.seconds.items()},
        "remark": row.remark,
    }


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if column in _NUMBERS and column != 4 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]


def _spread(values: Sequence[float], unit: Unit) -> str:
    return f"({_figure(min(values), unit)}-{_figure(max(values), unit)})"


def _figure(value: float, unit: Unit) -> str:
    """Write a figure as people read it."""
    match unit:
        case "seconds":
            return _seconds(value)
        case "bytes":
            return f"{value / 1e6:.3g} MB"
        case "count":
            return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value:.0f}"


def _seconds(value: float) -> str:
    if value < 0.01:
        return f"{value * 1000:.3g} ms"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
