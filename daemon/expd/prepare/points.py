"""What a submission asks for → its points: the overrides' product, rows of a file, or a sample of either."""

import csv
import io
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import Override, parse, spelled
from expd.prepare.overrides.sweeps import Point, expand
from expd.prepare.overrides.values import Value
from expproto.requests import Submit

Read = Callable[[str], Override]
"""An override's text → the override."""

POINTS_FILE_BYTES_MAX = 16 * 1024 * 1024
"""Ten thousand rows of a hundred parameters; a larger file is not a list of points."""


def points_of(request: Submit, limit: int, rng: random.Random, *, has_groups: bool = False) -> list[Point]:
    """Give the points of a submission; raises OverrideError, or OSError for a file that can't be read.

    Each row of the points file is combined with each point of the overrides, rows varying slowest. A sample keeps the
    order; the same seed gives the same sample. `has_groups` is for parameters that Hydra composes.
    """
    product = expand(request.overrides, limit, rng, has_groups=has_groups)
    rows = [()] if request.points is None else read_points(Path(request.cwd, request.points), has_groups=has_groups)
    if len(rows) * len(product) > limit and request.sample is None:
        problem = f"{len(rows)} rows times {len(product)} points are more than {limit}"
        raise OverrideError(text=str(request.points), problem=problem, hint="submit it in parts, or --sample some")
    chosen: Sequence[int] = range(len(rows) * len(product))
    if request.sample is not None and request.sample < len(chosen):
        chosen = sorted(random.Random(request.seed).sample(chosen, request.sample))  # noqa: S311 - repeatable on purpose
    return [
        Point(
            number=number, overrides=_by_file((*rows[index // len(product)], *product[index % len(product)].overrides))
        )
        for number, index in enumerate(chosen, start=1)
    ]


def _by_file(overrides: Sequence[Override]) -> tuple[Override, ...]:
    """Gather the overrides of each file, files in the order in which they are first named."""
    files = dict.fromkeys(override.file for override in overrides)
    return tuple(override for file in files for override in overrides if override.file == file)


def read_points(path: Path, *, has_groups: bool = False) -> list[tuple[Override, ...]]:
    """Read rows of overrides: CSV with `[file:]key` as heading, or JSON lines (by the name's ending)."""
    if path.stat().st_size > POINTS_FILE_BYTES_MAX:
        raise OverrideError(text=str(path), problem=f"it has more than {POINTS_FILE_BYTES_MAX} bytes")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise OverrideError(text=str(path), problem="it is not UTF-8 text") from None
    is_json = path.suffix in {".json", ".jsonl", ".ndjson"}
    read = partial(parse, has_groups=has_groups)
    rows = list(_json_rows(text, path, read) if is_json else _csv_rows(text, path, read))
    if not rows:
        raise OverrideError(text=str(path), problem="it has no rows")
    return rows


def _csv_rows(text: str, path: Path, read: Read) -> Iterator[tuple[Override, ...]]:
    """A cell is one value, spelled as after `-S key=`; an empty cell leaves the parameter as it is."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise OverrideError(text=f"{path}:{reader.line_num}", problem="it has not as many cells as the heading")
            yield tuple(_cell(key, cell, f"{path}:{reader.line_num}", read) for key, cell in row.items() if cell != "")
    except csv.Error as error:
        raise OverrideError(text=f"{path}:{reader.line_num}", problem=f"it is not CSV: {error}") from None


def _cell(key: str, cell: str, where: str, read: Read) -> Override:
    override = read(f"{key.strip()}={cell.strip()}")
    if override.is_sweep:
        raise OverrideError(text=f"{where}: {override.text}", problem="a cell holds one value", hint="quote it")
    return override


def _json_rows(text: str, path: Path, read: Read) -> Iterator[tuple[Override, ...]]:
    """A line is one object, key → value as it is."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row: object = json.loads(line)
        except json.JSONDecodeError as error:
            raise OverrideError(text=f"{path}:{number}", problem=f"it is not JSON: {error.msg}") from None
        if not isinstance(row, Mapping):
            raise OverrideError(text=f"{path}:{number}", problem="a line is one object of parameters")
        yield tuple(_field(str(key), value, read) for key, value in row.items())


def _field(key: str, value: Value, read: Read) -> Override:
    return spelled(read(f"{key}=null"), value)
