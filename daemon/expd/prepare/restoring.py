"""What a capture held against what a workspace holds now → what to write, what to remove, and what would be lost by it.

Pure: nothing is looked at here. Content is safe to replace where somebody keeps it: it is what is to be written
anyway, or a commit that stays has it at that path.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from expd.gitio.repository import TreeFile

Files = Mapping[str, TreeFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """One capture: the files, the index, and what the commit held from which it started."""

    files: Files
    index: Files
    baseline: Files
    kept: Sequence[Files]
    """Other trees whose content is kept: what is there in one of them may be replaced."""
    made: Files
    """What an earlier restore has put there, and is to be taken away by this one."""

    @property
    def deleted(self) -> set[str]:
        """Name what was known when it was captured, and was not there: it shall not be there again."""
        known = self.baseline.keys() | self.index.keys() | self.made.keys()
        return set(known - self.files.keys())


def newer_files(captured: Captured, found: Files) -> list[str]:
    """Name the paths whose present content would be lost: nobody keeps it."""
    return sorted(path for path, file in found.items() if not _is_kept(captured, path, file))


def newer_in_index(captured: Captured, index: Files, tracked: Files, found: Files) -> list[str]:
    """Name the paths of which the index alone holds something that nobody keeps.

    `tracked` are the files as they are now, `found` those that are to be replaced.
    """
    lost = []
    for path, file in index.items():
        stays = tracked.get(path) == file and path not in found
        is_known = captured.index.get(path) == file or _is_kept(captured, path, file) or found.get(path) == file
        if not (stays or is_known):
            lost.append(path)
    return sorted(lost)


def left_alone(captured: Captured, tracked: Files, new: Iterable[str], removed: Iterable[str]) -> list[str]:
    """Name the files that the capture doesn't know: they are new, and stay."""
    known = captured.files.keys() | captured.deleted | set(removed)
    return sorted((tracked.keys() | set(new)) - known)


def _is_kept(captured: Captured, path: str, file: TreeFile) -> bool:
    trees = (captured.files, captured.baseline, *captured.kept)
    return any(tree.get(path) == file for tree in trees)
