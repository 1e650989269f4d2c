"""The run log: what the commands write, as they write it, and our own lines only where a person would miss them.

Everything that happens to a run and its stages passes here, so that it is told and timed in one place; several stages
may be under way at once.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from expd.execute.commands import StartFailed
from expd.execute.timings import StageTimes, Timings
from expd.linux.memory import MemoryWitness


class RunLog:
    """Opened before anything else of a run; `descriptor` is handed to the commands as their output."""

    def __init__(self, path: Path, timings: Timings) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.timings = timings

    def note(self, text: str) -> None:
        """Add a line of ours, whole, in one write; a full disk must not end a run over a remark."""
        try:
            os.write(self.descriptor, (text.rstrip("\n") + "\n").encode("utf-8", "backslashreplace"))
        except OSError:
            return

    @contextmanager
    def running(self, stage: str, command_hash: str) -> Iterator[StageTimes]:
        """Run a stage, or what stands for one, while inside."""
        with self._timed(stage, "ran", command_hash) as times, closing(MemoryWitness()) as witness:
            try:
                yield times
            except StartFailed as failed:
                failed.stage = stage
                raise
            finally:
                times.hear(witness)

    def command(self, stage: str, command: str) -> None:
        """Tell that a command of a stage is about to run."""
        self.note(f"Running stage '{stage}':\n> {command}")

    def skipped(self, stage: str) -> None:
        """Tell that a stage is up to date."""
        with self._timed(stage, "skipped"):
            self.note(f"Stage '{stage}' didn't change, skipping")

    @contextmanager
    def restored(self, stage: str, source: str) -> Iterator[None]:
        """Take a stage's outputs from the cache while inside."""
        self.note(f"Stage '{stage}' is cached ({source}), checking out its outputs")
        with self._timed(stage, "restored"):
            yield

    def frozen(self, stage: str) -> None:
        """Tell that a stage is taken as it is."""
        with self._timed(stage, "frozen"):
            self.note(f"Stage '{stage}' is frozen, recording what is there")

    def sync(self) -> None:
        """Put what was written on the disk; a disk that can't must not end a run that has an outcome."""
        with contextlib.suppress(OSError):
            os.fsync(self.descriptor)

    def close(self) -> None:
        """Give the descriptor back; commands that still run keep theirs."""
        os.close(self.descriptor)

    @contextmanager
    def _timed(self, stage: str, fate: str, command_hash: str | None = None) -> Iterator[StageTimes]:
        times = self.timings.begin(stage, fate, command_hash)
        try:
            yield times
        finally:
            times.ended()
