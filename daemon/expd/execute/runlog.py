"""The run log: exactly the bytes that the commands write; what we tell of the run stands beside it, as marks.

Everything that happens to a run and its stages passes here, so that it is told and timed in one place; several stages
may be under way at once.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from expd.execute.commands import StartFailed
from expd.execute.marks import MarkWriter, marks_of
from expd.execute.progress import LiveMetrics
from expd.execute.timings import StageTimes, Timings
from expd.linux.memory import MemoryWitness


class RunLog:
    """Opened before anything else of a run; `descriptor` is handed to the commands as their output."""

    def __init__(self, path: Path, timings: Timings, live: LiveMetrics | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._marks = MarkWriter(marks_of(path), self.descriptor)
        except OSError:
            os.close(self.descriptor)
            raise
        self.timings = timings
        self._live = LiveMetrics() if live is None else live

    def note(self, text: str) -> None:
        """Tell something of the run."""
        self._marks.write("note", text)

    @contextmanager
    def running(self, stage: str, command_hash: str) -> Iterator[StageTimes]:
        """Run a stage, or what stands for one, while inside."""
        with self._timed(stage, "ran", command_hash) as times, closing(MemoryWitness()) as witness:
            self._marks.write("started", stage=stage)
            try:
                yield times
            except StartFailed as failed:
                failed.stage = stage
                raise
            finally:
                times.hear(witness)
                self._live.read()  # what it wrote just before its end counts, whatever becomes of the worktree
                self._marks.write("ended", stage=stage, exit_code=times.exit_code)

    def command(self, stage: str, command: str) -> None:
        """Tell that a command of a stage is about to run."""
        self._marks.write("command", f"Running stage '{stage}':\n> {command}", stage=stage)

    def skipped(self, stage: str) -> None:
        """Tell that a stage is up to date."""
        with self._timed(stage, "skipped"):
            self._marks.write("skipped", f"Stage '{stage}' didn't change, skipping", stage=stage)

    @contextmanager
    def restored(self, stage: str, source: str) -> Iterator[None]:
        """Take a stage's outputs from the cache while inside."""
        text = f"Stage '{stage}' is cached ({source}), checking out its outputs"
        self._marks.write("restored", text, stage=stage)
        with self._timed(stage, "restored"):
            yield

    def frozen(self, stage: str) -> None:
        """Tell that a stage is taken as it is."""
        with self._timed(stage, "frozen"):
            self._marks.write("frozen", f"Stage '{stage}' is frozen, recording what is there", stage=stage)

    def sync(self) -> None:
        """Put what was written on the disk; a disk that can't must not end a run that has an outcome."""
        with contextlib.suppress(OSError):
            os.fsync(self.descriptor)
            self._marks.sync()

    def close(self) -> None:
        """Give the descriptors back; commands that still run keep theirs."""
        os.close(self.descriptor)
        self._marks.close()

    @contextmanager
    def _timed(self, stage: str, fate: str, command_hash: str | None = None) -> Iterator[StageTimes]:
        times = self.timings.begin(stage, fate, command_hash)
        try:
            yield times
            self.timings.done += 1
        finally:
            times.ended()
