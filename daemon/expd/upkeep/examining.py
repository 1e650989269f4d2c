"""An examination: everything that can be told of the daemon's own state and of one repository, as findings.

It looks deeper than a start does and changes nothing, unless it is to mend what is safe to. What a finding means, and
what to do about it, is said in the client.
"""

import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from expd.gitio.damage import damaged_packs, empty_objects, locks_of, mend_empty_objects, rev_of
from expd.gitio.errors import GitFailed
from expd.gitio.locate import Location
from expd.gitio.refs import ENTRIES
from expd.gitio.repository import Repository
from expd.linux.filesystems import file_system_of
from expd.linux.holders import at_work_in, holder_of
from expd.linux.measuring import size_below
from expd.queueing.recovery import Decision, GiveUp, HoldAgain, LetGo, SetAside
from expd.queueing.store import Store
from expd.settings import Settings
from expd.upkeep.leftovers import Leftover
from expd.upkeep.recovering import Recovery, remove_leftover
from expd.upkeep.service import examine_service
from expproto.records import FindingRecord

_LOCK_SECONDS = 60.0
"""Git holds a lock for milliseconds, and a large commit for seconds."""
_OURS = (ENTRIES, "refs/expd/", "refs/exps/", "refs/notes/expd")
"""Refs that we write; nobody but DVC writes any of them beside us."""
_GIT_PROGRAMS = frozenset({"git", "dvc", "jj"})
_MODES = {"directory": 0o700, "file": 0o600}


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """Where the daemon's own files are, and since when it runs."""

    state_directory: Path
    socket_path: Path
    started_at: float


class Examination:
    """One examination; `location` is the repository to look at, None for none. With `fix` it mends what is safe to."""

    def __init__(
        self,
        store: Store,
        recovery: Recovery,
        settings: Settings,
        premises: Premises,
        location: Location | None,
        *,
        fix: bool,
    ) -> None:
        self._store = store
        self._recovery = recovery
        self._settings = settings
        self._premises = premises
        self._location = location
        self._fix = fix

    async def run(self) -> list[FindingRecord]:
        """Look at everything; gives problems before what is only told."""
        found = [
            *await self._store_itself(),
            *await self._in_thread(self._modes),
            *await self._leftovers(await self._recovery.leftovers_of_state()),
            *await self._in_thread(self._disks),
            *await self._in_thread(examine_service),
        ]
        if self._location is not None:
            common = self._location.common_directory
            found += await self._in_thread(self._objects)
            found += await self._entries(common)
            found += await self._leftovers(await self._recovery.leftovers_of(common))
            found += await self._leftovers(await self._recovery.leftovers_of_caches(common))
            found += await self._in_thread(self._locks)
            found += await self._in_thread(self._kept)
        return sorted(found, key=lambda finding: not finding.is_problem)

    async def _in_thread(self, look: Callable[[], Iterable[FindingRecord]]) -> list[FindingRecord]:
        return await trio.to_thread.run_sync(lambda: list(look()))

    async def _mended(self, finding: FindingRecord, mend: Callable[[], bool]) -> FindingRecord:
        """Mend what a finding says, if that is wanted."""
        if not (self._fix and finding.mendable):
            return finding
        return replace(finding, mended=await trio.to_thread.run_sync(mend))

    # --- the daemon's own

    async def _store_itself(self) -> list[FindingRecord]:
        wrong = await self._store.check()
        path = self._premises.state_directory / "queue.db"
        return [_finding("store_damaged", "store", path, {"what": what}) for what in wrong]

    def _modes(self) -> Iterable[FindingRecord]:
        """Look at who may enter or read what is ours: directories 0700, files 0600."""
        state, socket = self._premises.state_directory, self._premises.socket_path
        for path in (state, state / "runs", socket.parent, *state.glob("queue.db*"), socket):
            try:
                status = path.lstat()
            except FileNotFoundError:
                yield _finding("file_missing", "daemon", path, {})
                continue
            mode, wanted = stat.S_IMODE(status.st_mode), _MODES["directory" if path.is_dir() else "file"]
            if mode & ~wanted:
                finding = _finding("open_to_others", "daemon", path, {"mode": f"{mode:04o}"}, mendable=True)
                yield replace(finding, mended=self._fix and _set_mode(path, wanted))

    def _disks(self) -> Iterable[FindingRecord]:
        """Tell of each file system that is written to its type and how full it is."""
        settings = self._settings
        places = [
            (self._premises.state_directory, settings.state_free_bytes_min, True),
            (self._premises.socket_path.parent, 0, True),
        ]
        if self._location is not None:
            places.append((self._location.common_directory, settings.run_free_bytes_min, False))
        for path, least, is_ours in places:
            system = file_system_of(path)
            about = {"type": system.type, "free": system.free_bytes, "size": system.size_bytes, "least": least}
            if system.is_network:
                yield _finding("network_file_system", "disk", path, about, is_problem=is_ours)
            elif least and system.free_bytes < least:
                yield _finding("disk_full", "disk", path, about)
            elif least:
                yield _finding("disk_room", "disk", path, about, is_problem=False)

    async def _leftovers(self, found: list[Leftover]) -> list[FindingRecord]:
        findings = []
        for leftover in found:
            data = {"kind": leftover.kind, "size": leftover.size}
            finding = _finding("file_left", "files", leftover.path, data, mendable=True)
            findings.append(await self._mended(finding, lambda leftover=leftover: remove_leftover(leftover)))  # type: ignore[misc]
        return findings

    # --- the repository

    async def _entries(self, common: Path) -> list[FindingRecord]:
        kept = await self._store.kept(str(common))
        findings = []
        for decision in await self._recovery.decisions(common, kept, deep=True):
            finding = _finding_of(decision)
            is_done = self._fix and await self._recovery.carry_out(decision)
            findings.append(replace(finding, mended=is_done))
        return findings

    def _objects(self) -> Iterable[FindingRecord]:
        """Look for damaged packs, and object files without a byte; what the workspace holds of these is written anew."""
        assert self._location is not None
        for path in damaged_packs(self._location.common_directory):
            yield _finding("pack_damaged", "objects", path, {})
        try:
            repository = Repository(self._location.opened_at)
            empty = empty_objects(repository)
            lost = mend_empty_objects(repository).lost if empty and self._fix else []
        except GitFailed as failed:
            yield _finding("repository_unreadable", "objects", self._location.common_directory, {"what": failed.what})
            return
        for path in empty:
            finding = _finding("object_empty", "objects", path, {"rev": rev_of(path)}, mendable=True)
            yield replace(finding, mended=self._fix and path not in lost, data={**finding.data, "lost": path in lost})

    def _locks(self) -> Iterable[FindingRecord]:
        """Tell of each lock how old it is and who has it; one on a ref of ours that nobody can hold is removed."""
        assert self._location is not None
        common = self._location.common_directory
        for lock in locks_of(common):
            try:
                age = max(0.0, time.time() - lock.stat().st_mtime)
            except FileNotFoundError:
                continue
            holder = holder_of(lock) or at_work_in(self._location.workspace, _GIT_PROGRAMS)
            data = {"seconds": round(age, 1), "holder": None if holder is None else str(holder)}
            is_old = age > _LOCK_SECONDS and holder is None
            is_ours = lock.relative_to(common).as_posix().startswith(_OURS)
            mendable = is_old and is_ours and time.time() - age < self._premises.started_at
            finding = _finding("lock_left" if is_old else "lock_held", "locks", lock, data, is_problem=is_old)
            finding = replace(finding, mendable=mendable)
            yield replace(finding, mended=mendable and self._fix and _removed(lock))

    def _kept(self) -> Iterable[FindingRecord]:
        """Tell what failed runs have left for a look."""
        assert self._location is not None
        kept = self._location.common_directory / "expd" / "kept"
        directories = [path for path in kept.iterdir() if path.is_dir()] if kept.is_dir() else []
        if directories:
            data = {"count": len(directories), "size": sum(size_below(path) for path in directories)}
            yield _finding("kept_worktrees", "files", kept, data, is_problem=False)


def _finding_of(decision: Decision) -> FindingRecord:
    """Say what a decision of recovery is the answer to."""
    match decision:
        case HoldAgain(held_as=held_as, was=was):
            return _finding("ref_broken", "refs", f"{ENTRIES}{held_as}", {"was": was}, mendable=True)
        case LetGo(held_as=held_as):
            return _finding("ref_orphan", "refs", f"{ENTRIES}{held_as}", {}, mendable=True)
        case GiveUp(entry=entry, reason=reason):
            return _finding("snapshot_gone", "entries", str(entry), {"what": reason}, mendable=True)
        case SetAside(entry=entry, reason=reason):
            return _finding("repository_away", "entries", str(entry), {"what": reason}, mendable=True)


def _finding(
    code: str,
    section: str,
    subject: Path | str,
    data: Mapping[str, object],
    *,
    is_problem: bool = True,
    mendable: bool = False,
) -> FindingRecord:
    return FindingRecord(
        code=code, section=section, subject=str(subject), is_problem=is_problem, data=data, mendable=mendable
    )


def _set_mode(path: Path, mode: int) -> bool:
    try:
        path.chmod(mode)
    except OSError:
        return False
    return True


def _removed(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
