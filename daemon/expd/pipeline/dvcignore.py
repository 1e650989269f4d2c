"""`.dvcignore`: what DVC never looks at (dvc/ignore.py).

Promise: rules of a directory are read when something in it is asked for, once. `.git`, `.hg` and `.dvc`, and any
directory that is a DVC project of its own, are always ignored. Outside the root nothing is.
"""

from pathlib import Path

from expd.pipeline.locations import is_within
from expd.pipeline.patterns import IgnoreRules, parse_rules

IGNORE_FILE = ".dvcignore"
_ALWAYS = ".hg/\n.git/\n.git\n.dvc/\n"


class DvcIgnore:
    """The ignore rules of one project."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._chains: dict[str, IgnoreRules] = {}

    def ignores(self, location: str, *, is_directory: bool) -> bool:
        """Whether the file or directory at the absolute, normalised `location` is ignored."""
        if location == self._root or not is_within(location, self._root):
            return False
        path = location[len(self._root.rstrip("/")) + 1 :]
        parent = path.rpartition("/")[0]
        return self._chain(parent).ignores(path, is_directory=is_directory) or (is_directory and self._is_project(path))

    def _chain(self, directory: str) -> IgnoreRules:
        """The rules that hold in `directory` (relative to the root), those of its parents first."""
        if directory not in self._chains:
            self._chains[directory] = self._read_chain(directory)
        return self._chains[directory]

    def _read_chain(self, directory: str) -> IgnoreRules:
        if directory:
            above = self._chain(directory.rpartition("/")[0])
        else:
            above = IgnoreRules(parse_rules(_ALWAYS, "", below=True))
        if directory and self._is_project(directory):
            parent, _, name = directory.rpartition("/")
            return IgnoreRules([*above.rules, *parse_rules(f"/{name}/", parent, below=True)])
        ignored = bool(directory) and above.ignores(directory, is_directory=True)
        file = Path(self._root, directory, IGNORE_FILE)
        if ignored or not file.is_file():
            return above
        lines = "\n".join(line.strip() for line in file.read_text("utf-8").splitlines())
        return IgnoreRules([*above.rules, *parse_rules(lines, directory, below=True)])

    def _is_project(self, directory: str) -> bool:
        """Whether a directory (relative to the root) is a DVC project of its own."""
        return Path(self._root, directory, ".dvc").is_dir()
