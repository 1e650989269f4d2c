"""What keeps the pool from starting anything, in words, for as long as it does; and when to look again.

It is no pause of the user's: it begins and ends by itself. A store that can't be written is told by those who tried; room
on a disk is asked for before a run starts. Nothing tells when there is room again, so that it is looked at now and then.
"""

import contextlib
import logging
import math
from dataclasses import replace
from pathlib import Path

import trio

from expd.dispatch.host import Host
from expd.dispatch.settling import insist
from expd.linux.space import Place
from expd.queueing.database import StoreFailed
from expd.queueing.entry import Entry
from expd.queueing.store import Store
from expd.queueing.transitions import Claim
from expd.settings import Settings

_journal = logging.getLogger("expd.dispatch")

_LOOK_MIN_SECONDS, _LOOK_MAX_SECONDS = 1.0, 15.0
"""Between two looks: a quarter of how long it has lasted. Somebody who makes room at once is not kept waiting, and a disk
that stays full for days costs a few microseconds four times a minute."""
_STATE_FILES_MIN = 16
"""A run has a log, its marks and an outcome, each written beside its name first."""
_ROOM_BELIEVED_SECONDS = 0.2
"""How long a disk that had room is believed to have it: a run that takes a moment may fill it as well."""
_RUN_FILES_MIN = 64
"""A worktree of a small project, its Git directory and the objects of its result."""


class Troubles:
    """`words` says what keeps the pool from starting anything; `allow` asks again, after at most `look_again_seconds`."""

    def __init__(self, store: Store, settings: Settings, host: Host) -> None:
        self._store = store
        self._settings = settings
        self._host = host
        self._found: str | None = None
        self._short: dict[str, str] = {}
        self._since = math.inf
        self._state_roomy_until = -math.inf
        self._roomy_until: dict[tuple[str, str], float] = {}

    def use(self, settings: Settings) -> None:
        """Go on with other settings."""
        self._settings = settings
        self._state_roomy_until = -math.inf
        self._roomy_until = {}

    @property
    def words(self) -> str | None:
        """Say why nothing is started; None while it is."""
        return self._store.trouble or self._found

    def short_of_room(self, git_directory: str) -> str | None:
        """Say what a repository's entries wait for, if that is room on its disks."""
        return self._short.get(git_directory)

    @property
    def look_again_seconds(self) -> float:
        """Give how long to wait for a change, at most, before looking again; endless while there is no trouble."""
        if not (self._short or self._found or self._store.trouble):
            return math.inf
        lasted = trio.current_time() - self._since
        return min(max(lasted / 4, _LOOK_MIN_SECONDS), _LOOK_MAX_SECONDS)

    async def allow(self, wanted: int) -> bool:
        """Tell whether so many runs may be started now; asks the disk if there is any to start, or was trouble."""
        if not wanted:
            self._short = {}  # whether a repository's disk has room is asked when something is to be started
        if not (wanted or self.words):
            self._note_begin()
            return True
        return await self._look()

    async def _look(self) -> bool:
        found = await self._store_trouble() or await self._state_shortage()
        if found != self._found:
            _journal.log(logging.WARNING if found else logging.INFO, "%s", found or "entries are started again")
        self._found = found
        self._note_begin()
        return found is None

    @property
    def roomy(self) -> frozenset[tuple[str, str]]:
        """Give the Git directories and caches whose disks had room a moment ago; none while a disk lacks it."""
        now = trio.current_time()
        self._roomy_until = {pair: until for pair, until in self._roomy_until.items() if now < until}
        return frozenset() if self._short else frozenset(self._roomy_until)

    async def with_room(self, claim: Claim) -> Claim:
        """Give a claim that passes over the repositories whose disks have too little room for a run."""
        short: dict[str, str] = {}
        while (found := await self._next_without_room(claim)) is not None:
            entry, what = found
            git_directory = entry.submission.git_directory
            if git_directory not in self._short:
                _journal.warning("entry %s waits: %s", entry.id, what)
            short[git_directory] = what
            claim = replace(claim, avoid=tuple(short))
        self._short = short
        self._note_begin()
        return claim

    async def _next_without_room(self, claim: Claim) -> tuple[Entry, str] | None:
        """Give the entry that a claim would get, and what its disks lack; None if it lacks nothing, or there is none."""
        entry = await insist(lambda: self._store.peek(claim))
        what = None if entry is None else await self._host.shortage(self._run_places(entry))
        if entry is not None and what is None:
            self._roomy_until[_pair_of(entry)] = trio.current_time() + _ROOM_BELIEVED_SECONDS
        return None if entry is None or what is None else (entry, what)

    def _note_begin(self) -> None:
        """Remember since when there is trouble."""
        if not (self._short or self._found):
            self._since = math.inf
        elif self._since == math.inf:
            self._since = trio.current_time()

    async def _store_trouble(self) -> str | None:
        """Write the store once, if the last time failed."""
        if self._store.trouble is not None:
            with contextlib.suppress(StoreFailed):
                await self._store.probe()
        return self._store.trouble

    def _state_place(self) -> tuple[Place, ...]:
        least = self._settings.state_free_bytes_min
        directory = self._store.runs_directory
        return (self._place(directory, least, _STATE_FILES_MIN, "state_free_bytes_min"),)

    async def _state_shortage(self) -> str | None:
        """Say what our own disk lacks, as it was a moment ago."""
        if trio.current_time() < self._state_roomy_until:
            return None
        found = await self._host.shortage(self._state_place())
        self._state_roomy_until = -math.inf if found else trio.current_time() + _ROOM_BELIEVED_SECONDS
        return found

    def _run_places(self, entry: Entry) -> tuple[Place, ...]:
        """Where a run writes: its worktree is in the Git directory, its outputs go to the cache."""
        least = self._settings.run_free_bytes_min
        directories = dict.fromkeys(_pair_of(entry))
        return tuple(self._place(Path(path), least, _RUN_FILES_MIN, "run_free_bytes_min") for path in directories)

    def _place(self, path: Path, bytes_min: int, files_min: int, setting: str) -> Place:
        """Nothing is asked of a place where the setting says 0."""
        return Place(path=path, bytes_min=bytes_min, files_min=files_min if bytes_min else 0, setting=setting)


def _pair_of(entry: Entry) -> tuple[str, str]:
    """Give the Git directory and the cache of an entry."""
    return entry.submission.git_directory, entry.submission.cache
