"""The command: chooses rows, measures each in an arena of its own, prints the table. Asserts results, never a time."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arena import BenchmarkFailed, an_arena
from benchmarks.report import document, load, surroundings, table
from benchmarks.row import Measured, Row, measure
from benchmarks.rows import ROWS

TOLERANCE = 1.5
"""Wall times on a machine that does other things too differ by so much from run to run."""
_NAMES = [row.name for row in ROWS]


def main(argv: Sequence[str]) -> int:
    """Measure and print; give 1 if a side did not do what it had to."""
    arguments = _parser().parse_args(argv)
    chosen = [row for row in ROWS if row.name in (arguments.row or _NAMES)]
    before = load()
    skipped = {row.name: reason for row in chosen if (reason := row.missing()) is not None}
    try:
        measured = [_measure_one(row) for row in chosen if row.name not in skipped]
    except BenchmarkFailed as failure:
        sys.stderr.write(f"benchmark: {failure}\n")
        return 1
    machine = surroundings() | {"load_before": before, "load_after": load()}
    sys.stdout.write(table(measured) + "\n\n" + "".join(f"{name}: {value}\n" for name, value in machine.items()))
    sys.stdout.write("".join(f"{name}: not measured: {reason}\n" for name, reason in skipped.items()))
    if arguments.json:
        text = json.dumps(document(measured, machine) | {"skipped": skipped}, indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return _check(measured) if arguments.check else 0


def _check(measured: Sequence[Measured]) -> int:
    """Say which budgets are missed by more than a noisy machine explains; give 1 if one is."""
    missed = [(row, budget) for row in measured for budget in row.missed(TOLERANCE)]
    for row, budget in missed:
        found = row.ratio(budget.against)
        sys.stdout.write(
            f"{row.row.name}: {budget.words} than {budget.against}: {found:.3g}, not {budget.at_least:.3g}\n"
        )
    return 1 if missed else 0


def _measure_one(row: Row) -> Measured:
    sys.stderr.write(f"{row.name}: {row.warm_up_rounds} + {row.rounds} rounds\n")
    with an_arena() as arena:
        return measure(row, arena)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure expd beside DVC.")
    parser.add_argument("--row", action="append", choices=_NAMES, help="only this one; can be repeated")
    parser.add_argument("--check", action="store_true", help="end with 1 if a budget is missed by more than half")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    return parser
