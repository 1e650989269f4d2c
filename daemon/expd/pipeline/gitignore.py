"""`.gitignore`: which outputs Git already ignores, and the entries that DVC adds for the others (scmrepo).

Promise: an existing file is only ever appended to, a new line before if its last line has no end, and also where the
same line is there and a later one contradicts it; what was added can be taken back, as DVC takes it back (dvc/repo/scm_context.py).
"""

import posixpath
from io import StringIO
from pathlib import Path

from expd.pipeline.locations import ancestors, is_within, relative
from expd.pipeline.patterns import IgnoreRules, Rule, parse_rules
from expd.pipeline.textfiles import read_exactly, read_text, replace_text

_SPECIAL = "\\[]!*#?"


def find_git_root(root: str) -> str | None:
    """The nearest directory at or above `root` that is a Git worktree."""
    for directory in (root, *ancestors(root)):
        if Path(directory, ".git").exists():
            return directory
    return None


class GitIgnore:
    """The ignore files of one worktree; without Git nothing is ignored and nothing written."""

    def __init__(self, git_root: str | None) -> None:
        self._root = git_root
        self._rules: dict[str, tuple[str, list[Rule]]] = {}
        self._added: list[str] = []

    def ignores(self, location: str, *, is_directory: bool) -> bool:
        """Whether Git ignores the path, index aside."""
        if self._root is None or not is_within(location, self._root) or location == self._root:
            return False
        path = relative(location, self._root)
        rules = [*self._read(".git/info/exclude", ""), *self._read(".gitignore", "")]
        steps = path.split("/")[:-1]
        for depth in range(1, len(steps) + 1):
            base = "/".join(steps[:depth])
            rules.extend(self._read(f"{base}/.gitignore", base))
        return IgnoreRules(rules).ignores(path, is_directory=is_directory)

    def _read(self, file: str, base: str) -> list[Rule]:
        """The rules of one file, parsed again only when its text is another."""
        location = Path(self._root or "", file)
        text = read_text(location) if location.is_file() else ""
        known = self._rules.get(file)
        if known is None or known[0] != text:
            known = self._rules[file] = (text, parse_rules(text, base, below=False))
        return known[1]

    def add(self, location: str) -> str | None:
        """Make Git ignore an output; the ignore file that was written, or None if nothing had to be."""
        if self._root is None or not is_within(location, self._root) or self.ignores(location, is_directory=False):
            return None
        self._added.append(location)
        directory, name = posixpath.split(location)
        file = Path(directory, ".gitignore")
        text = read_exactly(file)
        entry = "/" + "".join(f"\\{character}" if character in _SPECIAL else character for character in name)
        replace_text(file, text + ("\n" if text and not text.endswith("\n") else "") + f"{entry}\n")
        return str(file)

    def take_back(self) -> None:
        """Remove the entries that were added since this object was made.

        DVC's quirks are kept: a line that was there before and says the same goes too, an entry with an escape stays,
        CRLF becomes LF, and a file that would be empty is removed.
        """
        for location in self._added:
            directory, name = posixpath.split(location)
            file = Path(directory, ".gitignore")
            if not file.is_file():
                continue
            lines = StringIO(read_text(file)).readlines()
            kept = [line for line in lines if line.strip() != f"/{name}".strip()]
            if kept:
                replace_text(file, "".join(kept))
            else:
                file.unlink()
        self._added.clear()
