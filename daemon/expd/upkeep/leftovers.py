"""Files of ours that nobody needs any more, because whoever made them was killed: found by what proves them ours. Blocks.

In the state directory everything is ours. In a repository, which several daemons may use, only what stands below this
store's own name, or is so old that no living process can be about to need it.
"""

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from expd.gitio.damage import locks_of
from expd.gitio.locking import Abandoned, abandoned
from expd.gitio.refs import ENTRIES
from expproto.vocabulary import RunId

_journal = logging.getLogger("expd.upkeep")

_RUN_FILE = re.compile(r"([0-9]+)\.(?:log|outcome|log\.marks)")
_OUTCOME = ".outcome"
_DURABLE_TEMPORARY = re.compile(r"\..+\.([0-9]+)\.tmp")
"""`linux.durable.write_durably` names its temporary files so; the number is the process."""
_OBJECT_TEMPORARY = re.compile(r"\.[A-Za-z0-9_-]{22}\.tmp")
"""`pipeline.links.temporary_name`, and DVC's: an object on its way into a cache."""
_REF_TEMPORARY = re.compile(r"(?:ref|lock)-[0-9a-f]{16}")
"""`gitio.refs.put_ref` and `gitio.locking`."""
_DAY_SECONDS = 86400
_RACY_SECONDS = 0.02
"""The kernel stamps files with the time of its last tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A file to remove: `kind` is `run_file`, `temporary`, `lock` or `object`; `proof` is for a lock that somebody else may have next."""

    path: Path
    kind: str
    size: int
    proof: Abandoned | None = None


def left_in_state(found: Sequence[Path], runs: Mapping[RunId, bool]) -> list[Leftover]:
    """Find files of runs that the store does not know, outcomes that it has, and what killed processes were writing.

    `runs` says of each whether it has ended, and must have been read after the files were `found`: a run is in the store
    before its files are, and its end before its outcome goes.
    """
    return [*_orphans(found, runs), *_temporaries(found)]


def files_of_state(runs_directory: Path) -> list[Path]:
    """List the files of the state directory, and those of runs."""
    return [*_below(runs_directory), *_below(runs_directory.parent)]


def set_unknown_runs_aside(runs_directory: Path, last_run: int) -> Path | None:
    """Move files of runs that this store never had out of the way of those it will have; gives where to.

    They are there when the store was moved away, or restored from a backup: what they hold may be all that is left of it.
    """
    unknown = [path for path in _below(runs_directory) if (number := _run_of(path)) is not None and number > last_run]
    if not unknown:
        return None
    aside = runs_directory.with_name(f"runs-{time.strftime('%Y%m%d-%H%M%S')}")
    aside.mkdir(mode=0o700, exist_ok=True)
    for path in unknown:
        path.rename(aside / path.name)
    _journal.warning("%d files of runs that the store does not know are in %s now", len(unknown), aside)
    return aside


def _run_of(path: Path) -> int | None:
    match = _RUN_FILE.fullmatch(path.name)
    return int(match[1]) if match else None


def _orphans(found: Sequence[Path], runs: Mapping[RunId, bool]) -> Iterator[Leftover]:
    for path in found:
        number = _run_of(path)
        if number is None:
            continue
        has_ended = runs.get(RunId(number))
        if has_ended is None or (has_ended and path.suffix == _OUTCOME):
            yield from _leftover(path, "run_file")


def _temporaries(found: Sequence[Path]) -> Iterator[Leftover]:
    for path in found:
        match = _DURABLE_TEMPORARY.fullmatch(path.name)
        if match and not psutil.pid_exists(int(match[1])):
            yield from _leftover(path, "temporary")


def left_in_repository(common_directory: Path, store_name: str, started_at: float) -> list[Leftover]:
    """Find locks of dead processes of ours, those below this store's own name that are older than this daemon, and temporary refs."""
    found = list(_abandoned_locks(common_directory))
    for lock in (common_directory / ENTRIES / store_name).rglob("*.lock"):
        if _modified(lock) < started_at - _RACY_SECONDS:
            found += _leftover(lock, "lock")
    for path in _below(common_directory / "expd"):
        is_proof = any(each.proof is not None and each.proof.own == path for each in found)
        if _REF_TEMPORARY.fullmatch(path.name) and _modified(path) < time.time() - _DAY_SECONDS and not is_proof:
            found += _leftover(path, "temporary")
    return found


def _abandoned_locks(common_directory: Path) -> Iterator[Leftover]:
    if any(path.name.startswith("lock-") for path in _below(common_directory / "expd")):
        for found in abandoned(common_directory, locks_of(common_directory)):
            yield Leftover(path=found.lock, kind="lock", size=0, proof=found)


def left_in_cache(directory: Path) -> list[Leftover]:
    """Find objects that never came to be: temporary files older than this boot, and older than a day."""
    oldest = min(psutil.boot_time(), time.time() - _DAY_SECONDS)
    return [
        leftover
        for path in directory.glob("[0-9a-f][0-9a-f]/.*.tmp")
        if _OBJECT_TEMPORARY.fullmatch(path.name) and _modified(path) < oldest
        for leftover in _leftover(path, "object")
    ]


def _leftover(path: Path, kind: str) -> Iterator[Leftover]:
    try:
        yield Leftover(path=path, kind=kind, size=path.lstat().st_size)
    except OSError:
        return


def _below(directory: Path) -> Iterator[Path]:
    try:
        yield from directory.iterdir()
    except OSError:
        return


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return float("inf")
