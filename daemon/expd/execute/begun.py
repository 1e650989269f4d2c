"""Which stages a worktree's runs have begun, and which of them they have finished: a line each, beside the worktree.

Whoever goes on in that worktree leaves the outputs of what was begun and not finished alone, and runs nothing twice. A
line that is torn says nothing.
"""

import contextlib
import json
import os
from pathlib import Path

_BEGUN, _FINISHED = "begun", "finished"


def begun_path(worktree: Path) -> Path:
    """Give the place of the list of a worktree."""
    return worktree.with_name(f"{worktree.name}.begun")


def forget_begun(worktree: Path) -> None:
    """Let nothing be begun in a worktree. The file stays: a new one costs more than all that is written into it."""
    with contextlib.suppress(FileNotFoundError):
        os.truncate(begun_path(worktree), 0)


class BegunStages:
    """The stages of one worktree; with None nothing is remembered. What the disk does not take is not remembered."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.begun: set[str] = set()
        self.finished: set[str] = set()

    def load(self) -> None:
        """Read what earlier runs in this worktree have begun and finished."""
        try:
            text = "" if self._path is None else self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return
        for line in text.splitlines():
            try:
                what, stage = json.loads(line)
            except (ValueError, TypeError):
                continue
            (self.begun if what == _BEGUN else self.finished).add(stage)

    def is_left(self, stage: str) -> bool:
        """Tell whether a stage was begun by an earlier run and not finished: its outputs are as that one left them."""
        return stage in self.begun and stage not in self.finished

    def begin(self, stage: str) -> None:
        """Remember that the commands of a stage start; on the disk before they do."""
        self._note(_BEGUN, stage)

    def finish(self, stage: str) -> None:
        """Remember that what a stage made is recorded."""
        self._note(_FINISHED, stage)

    def _note(self, what: str, stage: str) -> None:
        if self._path is None:
            return
        line = json.dumps([what, stage]).encode("ascii") + b"\n"
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, line)
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            return
