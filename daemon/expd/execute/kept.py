"""What a run that did not succeed left: its worktree, kept aside for a look, and for going on in it.

Beside a worktree lie its manifest and the list of stages it began (`begun`); they go wherever it goes. What is to be gone
on in is set apart first, so that no later run's keeping removes it as the oldest.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from expd.execute.begun import begun_path
from expd.execute.manifest import manifest_path
from expd.execute.worktree import make_slot, remove_tree
from expproto.vocabulary import RunId

KEPT, SET_APART = "kept", "resuming"
CHANGES_MAX = 10
"""Paths that are named when a kept worktree has been changed: enough to recognise what did it."""
_GIT = ".git"


def keep_aside(worktree: Path, run: RunId, kept_max: int) -> Path | None:
    """Move a run's worktree to where a person can look at it; the oldest such go, and the slot starts empty.

    None if there is nothing to keep. Raises OSError.
    """
    kept = worktree.parent.parent / KEPT
    place = kept / str(run)
    if not worktree.is_dir() or worktree.is_symlink():
        return None
    kept.mkdir(parents=True, exist_ok=True, mode=0o700)
    _move(worktree, place)
    runs = sorted((path for path in kept.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    for path in runs[: max(0, len(runs) - kept_max)]:
        remove_place(path)
    return place if place.is_dir() else None


def remove_kept(git_directory: Path, run: RunId) -> None:
    """Remove what is kept of a run, wherever; raises OSError."""
    for parent in (KEPT, SET_APART):
        remove_place(git_directory / "expd" / parent / str(run))


def kept_place(git_directory: Path, run: RunId) -> Path | None:
    """Find what is kept of a run; None if nothing is."""
    places = (git_directory / "expd" / parent / str(run) for parent in (SET_APART, KEPT))
    return next((place for place in places if place.is_dir() and not place.is_symlink()), None)


def resumable_run(git_directory: Path, runs: Iterable[RunId]) -> RunId | None:
    """Find of an entry's runs that in whose worktree to go on: the newest, or the one it was itself to go on from."""
    newest_first = sorted(runs, reverse=True)
    for run in newest_first:
        place = kept_place(git_directory, run)
        is_usable = place is not None and manifest_path(place).is_file()
        if is_usable and place is not None and (run == newest_first[0] or place.parent.name == SET_APART):
            return run
    return None


def changes_since(place: Path) -> list[str]:
    """Name some of what was changed in a kept worktree since it was kept: the manifest was the last to be moved."""
    kept_at = manifest_path(place).stat().st_ctime_ns
    found: list[str] = []
    for path in _newer(place, place, kept_at):
        found.append(path)
        if len(found) == CHANGES_MAX:
            break
    return found


def set_apart(git_directory: Path, run: RunId) -> None:
    """Keep a run's worktree from being removed as the oldest; doing it again changes nothing. Raises OSError."""
    _carry(git_directory, run, KEPT, SET_APART)


def give_back(git_directory: Path, run: RunId) -> None:
    """Let a run's worktree be one of those that are kept for a look again, if it is set apart. Raises OSError."""
    _carry(git_directory, run, SET_APART, KEPT)


def runs_set_apart(git_directory: Path) -> list[RunId]:
    """List the runs whose worktrees are set apart."""
    directory = git_directory / "expd" / SET_APART
    return [RunId(int(path.name)) for path in directory.iterdir() if path.name.isdigit()] if directory.is_dir() else []


def take_up(git_directory: Path, run: RunId, worktree: Path) -> bool:
    """Make a slot hold the worktree that a run left; False if that is not there."""
    place = kept_place(git_directory, run)
    if place is None or not manifest_path(place).is_file():
        return False
    make_slot(worktree)
    remove_tree(worktree)
    _move(place, worktree)
    return True


def _carry(git_directory: Path, run: RunId, *parents: str) -> None:
    source, place = (git_directory / "expd" / parent / str(run) for parent in parents)
    if source.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _move(source, place)


def _move(source: Path, target: Path) -> None:
    """Move a worktree with what lies beside it, the manifest last: without it the rest is nothing to go on with."""
    for beside in (manifest_path, begun_path):
        beside(target).unlink(missing_ok=True)
    source.rename(target)
    for beside in (begun_path, manifest_path):
        if beside(source).exists():
            beside(source).rename(beside(target))


def remove_place(place: Path) -> None:
    """Remove one kept worktree with what lies beside it; raises OSError."""
    manifest_path(place).unlink(missing_ok=True)
    begun_path(place).unlink(missing_ok=True)
    remove_tree(place)


def _newer(directory: Path, top: Path, than_ns: int) -> Iterator[str]:
    """Walk through what was changed after a time; of a directory the change of its entries counts as well."""
    if directory.lstat().st_ctime_ns > than_ns:
        yield f"{directory.relative_to(top)}/"
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name == _GIT:
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield from _newer(Path(entry.path), top, than_ns)
            elif status.st_ctime_ns > than_ns:
                yield str(Path(entry.path).relative_to(top))
