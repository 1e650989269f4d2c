"""Tables for people at a terminal. The only file that imports rich, and imported only there."""

import io
import os
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from expctl.render.terminal import visible

_STYLES: Mapping[str, str] = {
    "succeeded": "green", "failed": "red", "killed": "red", "lost": "red", "refused": "red", "timed out": "red",
    "cancelled": "yellow", "running": "cyan", "preparing": "cyan", "collecting": "cyan",
}  # fmt: skip
"""By the word before a colon; the word itself says it too, so nothing depends on colours."""


def table(heading: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: frozenset[str] = frozenset()) -> str:
    """Give a table as wide as the terminal; long cells are folded, never cut. `numbers` name right-aligned columns."""
    result = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in heading:
        result.add_column(Text(visible(title)), overflow="fold", justify="right" if title in numbers else "left")
    for row in rows:
        result.add_row(
            *(Text(visible(cell), style=_STYLES.get(cell.split(":")[0].split(" after")[0], "")) for cell in row)
        )
    page = io.StringIO()
    console = Console(
        file=page,
        force_terminal=True,
        width=_width(),
        color_system=None if _is_plain() else "standard",
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    console.print(result)
    return "".join(line.rstrip() + "\n" for line in page.getvalue().splitlines())


def _is_plain() -> bool:
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in {None, "", "dumb"}


def _width() -> int:
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80
