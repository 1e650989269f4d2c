"""Where a run takes place: what it is asked to be before the run, and what becomes of it afterwards.

The run itself knows no difference: it works in `directory`, on files that a manifest describes.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from expd.execute.manifest import Manifest
from expd.execute.runlog import RunLog


class Place(Protocol):
    """One place for one run. Every method blocks; they are called in this order."""

    directory: Path
    """The work tree."""

    def prepare(self) -> Manifest:
        """Make the place hold what was submitted; gives what is there. GitDisturbed: to be done again."""

    def bring_along(self, manifest: Manifest) -> frozenset[str]:
        """Put beside the captured files what belongs there uncaptured; gives all that is there and in no result."""

    def note_data(self, locations: Iterable[str]) -> None:
        """Hear where tracked data was put, before any command runs."""

    def give_up(self, log: RunLog) -> None:
        """Deal with what a run left that did not succeed."""
