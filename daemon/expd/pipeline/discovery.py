"""Which files of a project describe stages and data (dvc/repo/index.py).

Promise: directories are visited in sorted order, a dvc.yaml or expd.toml before the `.dvc` files beside it. Nothing ignored by DVC or
Git is looked at, and no directory that is itself an output.
"""

import os
from collections.abc import Callable, Iterable

from expd.pipeline.dvcignore import DvcIgnore
from expd.pipeline.gitignore import GitIgnore
from expd.pipeline.model import DATA_FILE_SUFFIX, PIPELINE_FILES


class Discovery:
    """One walk over a project."""

    def __init__(self, root: str, ignore: DvcIgnore, gitignore: GitIgnore) -> None:
        self._root = root
        self._ignore = ignore
        self._gitignore = gitignore

    def walk(self, read: Callable[[str], Iterable[str]]) -> None:
        """Call `read` with the path (from the root) of every file; it returns the locations of the outputs there."""
        outputs: set[str] = set()
        waiting = [self._root]
        while waiting:
            directory = waiting.pop()
            with os.scandir(directory) as listing:
                entries = sorted(listing, key=lambda entry: (entry.name not in PIPELINE_FILES, entry.name))
            for entry in entries:
                if self._describes(entry):
                    outputs.update(read(entry.path[len(self._root) + 1 :]))
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            waiting.extend(path for path in reversed(below) if self._is_open(path, outputs))

    def _describes(self, entry: os.DirEntry[str]) -> bool:
        name = entry.name
        if name not in PIPELINE_FILES and (not name.endswith(DATA_FILE_SUFFIX) or name == DATA_FILE_SUFFIX):
            return False
        if not entry.is_file():
            return False
        return not (
            self._ignore.ignores(entry.path, is_directory=False)
            or self._gitignore.ignores(entry.path, is_directory=False)
        )

    def _is_open(self, directory: str, outputs: set[str]) -> bool:
        return (
            directory not in outputs
            and not self._ignore.ignores(directory, is_directory=True)
            and not self._gitignore.ignores(directory, is_directory=True)
        )
