"""The command: chooses rows, measures each in an arena of its own, prints the table. Asserts results, never a time."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.arena import BenchmarkFailed, an_arena
from benchmarks.report import document, load, surroundings, table
from benchmarks.row import Measured, Row, measure, present
from benchmarks.rows import ROWS

TOLERANCE = 1.5
"""Wall times on a machine that does other things too differ by so much from run to run."""
_NAMES = [row.name for row in ROWS]


def main(argv: Sequence[str]) -> int:
    """Measure and print; give 1 if a side did not do what it had to."""
    arguments = _parser().parse_args(argv)
    chosen = [row for row in ROWS if row.name in (arguments.row or _NAMES)]
    before = load()
    found = {row.name: present(row) for row in chosen}
    skipped = {f"{name}, {side}": reason for name, (_, sides) in found.items() for side, reason in sides.items()}
    try:
        measured = [_measure_one(row, arguments) for row, _ in found.values() if row is not None]
    except BenchmarkFailed as failure:
        sys.stderr.write(f"benchmark: {failure}\n")
        return 1
    machine = surroundings() | {"scale": arguments.scale, "load_before": before, "load_after": load()}
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


def _measure_one(row: Row, arguments: argparse.Namespace) -> Measured:
    rounds: int | None = arguments.rounds
    chosen = row if rounds is None else replace(row, rounds=rounds, warm_up_rounds=min(row.warm_up_rounds, rounds))
    sys.stderr.write(f"{row.name}: {chosen.warm_up_rounds} + {chosen.rounds} rounds, load {load()[0]}\n")
    with an_arena(row.files, arguments.scale) as arena:
        return measure(chosen, arena)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure expd beside DVC.")
    parser.add_argument("--row", action="append", choices=_NAMES, help="only this one; can be repeated")
    parser.add_argument("--check", action="store_true", help="end with 1 if a budget is missed by more than half")
    parser.add_argument("--rounds", type=int, metavar="N", help="so many rounds of each, not what the row says")
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="PART", help="0.1: sizes of a tenth, to see that rows work"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    return parser
