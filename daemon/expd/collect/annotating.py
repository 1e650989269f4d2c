"""The execution context of an experiment → a note on its commit.

All experiments of a repository share one ref of notes: those that end together are written together, one commit of
notes at a time, by compare-and-swap.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from expd.gitio.errors import GitFailed, RefLocked, RefMoved
from expd.gitio.notes import read_note, restore_objects, write_notes
from expd.gitio.packing import NewObject
from expd.gitio.repository import Repository, again_if_disturbed
from expproto.codec import decode, encode
from expproto.context import CONTEXT_BYTES_MAX
from expproto.errors import ProtocolError
from expproto.vocabulary import Rev

_journal = logging.getLogger("expd.collect")

_BACKOFF_FIRST_SECONDS, _BACKOFF_MAX_SECONDS = 0.005, 5.0
"""Git holds a ref's lock for microseconds; what holds one for seconds is stuck, and somebody has to look."""
PACE_SECONDS = 0.5
"""Between two commits of notes in one repository: each makes directories of notes anew, and waits for the disk."""
_COLLECTION_SECONDS = 2.0
"""Between a look at the refs and the last object it takes, a `git gc --prune=now` of a middling repository is done."""
_NOTE_BYTES_MAX = 4 * CONTEXT_BYTES_MAX
"""A context as text: msgpack says it in a quarter, at worst."""
_PACKED_BYTES_MAX = CONTEXT_BYTES_MAX + 1024
"""A context that came from elsewhere: what a worker makes, and its wrapping."""


def note_text(context: Mapping[str, object]) -> bytes:
    """Write a context as JSON, a line a field, in ASCII: `git log --notes=expd` shows it, and no byte steers a terminal."""
    fields = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in context.items()]
    return ("{\n" + ",\n".join(fields) + "\n}\n").encode("ascii")


def context_in_note(repository: Repository, commit: Rev) -> Mapping[str, object] | None:
    """Read the context noted on a commit; None if there is none, or none that makes sense: notes come from elsewhere too."""
    try:
        text = read_note(repository, commit, _NOTE_BYTES_MAX)
        value: object = None if text is None else json.loads(text)
        if not isinstance(value, dict) or not isinstance(value.get("version"), int):
            return None
        packed = encode({"reply": {"context": value}})
        decode(packed)
    except (GitFailed, ProtocolError, ValueError, TypeError, RecursionError):
        return None
    return value if len(packed) <= _PACKED_BYTES_MAX else None


class Annotator:
    """Writes notes, those together that wait together."""

    def __init__(self, limiter: trio.CapacityLimiter, *, pace_seconds: float = PACE_SECONDS) -> None:
        self._limiter = limiter
        self._pace_seconds = pace_seconds
        self._waiting: dict[Path, dict[Rev, bytes]] = {}
        self._writing: dict[Path, trio.Lock] = {}
        self._next_at: dict[Path, float] = {}
        self._written: dict[Path, Sequence[NewObject]] = {}
        self._looking = set[Path]()

    def is_pacing(self, git_directory: Path) -> bool:
        """Tell whether notes of this repository were written just now, so that more of them wait to go together."""
        return trio.current_time() < self._next_at.get(git_directory, 0.0)

    async def wait_pace(self, git_directory: Path) -> None:
        """Wait until notes of this repository may be written again."""
        await trio.sleep_until(self._next_at.get(git_directory, 0.0))

    async def annotate(self, git_directory: Path, contexts: Mapping[Rev, Mapping[str, object]]) -> bool:
        """Note contexts on their commits, as soon as the ref of notes is free; doing it again changes nothing.

        False if the repository can't be written at all: it may be gone.
        """
        waiting = self._waiting.setdefault(git_directory, {})
        texts = {commit: note_text(context) for commit, context in contexts.items()}
        waiting.update(texts)
        try:
            async with self._writing.setdefault(git_directory, trio.Lock()):
                if _still(waiting, texts):  # else they went along with somebody else's
                    await self.wait_pace(git_directory)
                    await self._write(git_directory, waiting)
                    self._next_at[git_directory] = trio.current_time() + self._pace_seconds
        except GitFailed as failed:
            commits = ", ".join(texts)
            _journal.warning("the context of %s can't be noted in %s: %s", commits, git_directory, failed.what)
            return False
        finally:
            for commit in _still(waiting, texts):
                del waiting[commit]
        return True

    async def look_again(self, git_directory: Path) -> None:
        """Write the newest notes of a repository again if a collection that was under way has taken them.

        One at a time looks, until notes have been let be for so long.
        """
        if git_directory in self._looking:
            return
        self._looking.add(git_directory)
        try:
            while written := self._written.get(git_directory, ()):
                await trio.sleep(_COLLECTION_SECONDS)
                async with self._writing.setdefault(git_directory, trio.Lock()):
                    if self._written.get(git_directory) is written:
                        await self._restore(git_directory)
                        self._written[git_directory] = ()
        finally:
            self._looking.discard(git_directory)

    async def _restore(self, git_directory: Path) -> None:
        written = self._written.get(git_directory, ())
        try:
            lost = await trio.to_thread.run_sync(restore_objects, git_directory, written, limiter=self._limiter)
        except GitFailed as failed:
            _journal.warning("the newest notes of %s can't be looked for: %s", git_directory, failed.what)
            return
        if lost:
            _journal.warning(
                "%d objects of notes of %s were collected as they came: written again", lost, git_directory
            )

    async def _write(self, git_directory: Path, waiting: dict[Rev, bytes]) -> None:
        """Write all that wait, as soon as nobody else writes; raises GitFailed."""
        backoff = _BACKOFF_FIRST_SECONDS
        await self._restore(git_directory)
        while True:
            notes = dict(waiting)
            written = await trio.to_thread.run_sync(_try_write, git_directory, notes, limiter=self._limiter)
            if written is not None:
                break
            await trio.sleep(backoff)
            backoff = min(2 * backoff, _BACKOFF_MAX_SECONDS)
        self._written[git_directory] = written
        for commit in _still(waiting, notes):
            del waiting[commit]


def _still(waiting: Mapping[Rev, bytes], texts: Mapping[Rev, bytes]) -> list[Rev]:
    """Name the commits whose notes wait as these texts: neither written meanwhile nor replaced by others."""
    return [commit for commit, text in texts.items() if waiting.get(commit) is text]


def _try_write(git_directory: Path, notes: Mapping[Rev, bytes]) -> Sequence[NewObject] | None:
    """Write notes, and give their objects; None if somebody else is writing some."""
    try:
        return again_if_disturbed(lambda: write_notes(Repository(git_directory), notes, time.time()))
    except (RefLocked, RefMoved) as error:
        _journal.debug("notes of %s: %s", git_directory, error)
        return None
