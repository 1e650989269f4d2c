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


def main(argv: Sequence[str]) -> int:
    """Measure and print; give 1 if a side did not do what it had to."""
    arguments = _parser().parse_args(argv)
    chosen = [row for row in ROWS if not arguments.row or row.name in arguments.row]
    before = load()
    try:
        measured = [_measure_one(row) for row in chosen]
    except BenchmarkFailed as failure:
        sys.stderr.write(f"benchmark: {failure}\n")
        return 1
    machine = surroundings() | {"load_before": before, "load_after": load()}
    sys.stdout.write(table(measured) + "\n\n" + "".join(f"{name}: {value}\n" for name, value in machine.items()))
    if arguments.json:
        text = json.dumps(document(measured, machine), indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return 0


def _measure_one(row: Row) -> Measured:
    sys.stderr.write(f"{row.name}: {row.warm_up_rounds} + {row.rounds} rounds\n")
    with an_arena() as arena:
        return measure(row, arena)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure expd beside DVC.")
    names = [row.name for row in ROWS]
    parser.add_argument("--row", action="append", choices=names, help="only this one; can be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    return parser
