"""dvc.lock on disk: read once, validated, and rewritten as a whole when a stage is recorded.

Promise: stages that are not the one recorded keep their text, also those that dvc.yaml no longer has.
"""

from functools import lru_cache
from pathlib import Path

from expd.pipeline.documents import MismatchError, View, located, parse_yaml
from expd.pipeline.lockentry import LockEntry, read_entry
from expd.pipeline.locktext import BLOCKS_REMEMBERED, SCHEMA, LockText, split_blocks
from expd.pipeline.model import PipelineError
from expd.pipeline.textfiles import read_text, replace_text

_TOP_KEYS = frozenset({"schema", "stages", "datasets"})


def parse_lock(text: str, path: str) -> dict[str, LockEntry]:
    """The entries of a dvc.lock by stage name; `path` is named in errors."""
    blocks = split_blocks(text)
    return _parse_whole(text, path) if blocks is None else _parse_blocks(blocks, text, path)


def _parse_blocks(blocks: dict[str, str], text: str, path: str) -> dict[str, LockEntry]:
    """Block by block, since most are the same from one experiment to the next; only a whole text has line numbers."""
    try:
        return {name: _parse_block(name, block) for name, block in blocks.items()}
    except (MismatchError, PipelineError):
        return _parse_whole(text, path)


@lru_cache(maxsize=BLOCKS_REMEMBERED)
def _parse_block(name: str, block: str) -> LockEntry:
    stages = dict(View(parse_yaml(block, name)).entries())
    return read_entry(stages[name])


def _parse_whole(text: str, path: str) -> dict[str, LockEntry]:
    try:
        view = View(parse_yaml(text, path))
        if view.value == {}:
            return {}
        top = view.record(_TOP_KEYS, frozenset({"schema"}))
        if top["schema"].value != SCHEMA:
            raise top["schema"].mismatch(f"the schema '{SCHEMA}'")
        stages = top["stages"].entries() if "stages" in top else iter(())
        return {name: read_entry(stage) for name, stage in stages}
    except MismatchError as mismatch:
        raise located(mismatch, text, path) from mismatch


class LockFile:
    """One dvc.lock, read when something in it is first asked for."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._lock: LockText | None = None
        self._entries: dict[str, LockEntry] = {}

    def entry(self, name: str) -> LockEntry | None:
        """What is recorded of the stage."""
        self._load()
        return self._entries.get(name)

    def record(self, name: str, entry: LockEntry) -> None:
        """Set the entry of the stage, on disk before this returns."""
        self.remember(name, entry)
        self.write(name)

    def remember(self, name: str, entry: LockEntry) -> None:
        """Set the entry of the stage for whoever asks us, and not on disk yet."""
        self._load()
        self._entries[name] = entry

    def write(self, name: str) -> None:
        """Put the entry that we have of the stage on disk. The order of writing decides where a new stage stands."""
        lock = self._load()
        before = lock.text
        lock.set(name, self._entries[name])
        if lock.text != before:
            replace_text(Path(self.location), lock.text)

    def _load(self) -> LockText:
        if self._lock is None:
            text = read_text(Path(self.location))
            self._entries = parse_lock(text, self.location)
            self._lock = LockText(text)
        return self._lock
