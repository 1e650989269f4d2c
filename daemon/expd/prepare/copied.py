"""What `--copy-paths` names: checked before anything is stored, then stored for the runs."""

import stat
from collections.abc import Container, Sequence
from pathlib import Path, PurePosixPath

from expd.pipeline.copies import copies_store, store_copies
from expd.prepare.data import remembered_hashes
from expd.prepare.paths import UnusablePath, below_workspace
from expd.prepare.project import Project


def check_copied(paths: Sequence[str], cwd: Path, workspace: Path) -> tuple[str, ...]:
    """Give each path below the workspace; raises UnusablePath for one that is not there or can't be copied."""
    found = below_workspace(paths, cwd, workspace)
    for typed, path in zip(paths, found, strict=True):
        _check(typed, path, workspace)
    return tuple(dict.fromkeys(found))


def _check(typed: str, path: str, workspace: Path) -> None:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == ".git":
        raise UnusablePath(typed, "the workspace and its Git directory can't be copied", "name what is in it")
    place = workspace
    for part in parts[:-1]:
        place /= part
        if place.is_symlink():
            raise UnusablePath(typed, f"it lies behind the link {place.relative_to(workspace)}", "name the link itself")
    try:
        mode = (workspace / path).stat().st_mode
    except OSError as error:
        raise UnusablePath(typed, f"it can't be copied: {error.strerror}", "-C names files and directories") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UnusablePath(typed, "it is neither a file nor a directory", "-C names files and directories")


def store_copied(paths: Sequence[str], captured: Container[str], project: Project) -> str | None:
    """Store what the paths hold and the capture does not; gives the listing's hash, None where nothing is named."""
    if not paths:
        return None
    with remembered_hashes(project) as memo:
        store = copies_store(project.location.common_directory)
        return store_copies(project.location.workspace, paths, captured, store, memo)
