"""Paths as they were typed → paths below the workspace, as text; nothing is opened, links are not followed."""

import posixpath
from collections.abc import Sequence
from pathlib import Path


class UnusablePath(Exception):
    """A path on the command line was refused: `path` as typed, `problem`, and what to do (`hint`)."""

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        super().__init__(path, problem, hint)
        self.path = path
        self.problem = problem
        self.hint = hint


def below_workspace(paths: Sequence[str], cwd: Path, workspace: Path) -> tuple[str, ...]:
    """Give each path relative to the workspace, `.` for itself; raises UnusablePath for one outside it.

    `cwd` and `workspace` are resolved; the paths are taken as they are typed.
    """
    return tuple(_below(path, cwd, workspace) for path in paths)


def _below(path: str, cwd: Path, workspace: Path) -> str:
    relative = posixpath.relpath(posixpath.normpath(posixpath.join(cwd.as_posix(), path)), workspace.as_posix())
    if relative == ".." or relative.startswith("../"):
        raise UnusablePath(
            path, "it is outside the repository", "bring it in, or name it by an absolute path in the code"
        )
    return relative
