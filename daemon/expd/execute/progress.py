"""How far a run is, told as it changes: its stages, and the metrics that it writes. inotify tells of those; nothing polls.

What a metrics file holds while it is written may be anything: it counts once it is a map, and is bounded.
"""

import json
import logging
import math
import os
import stat
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import trio

from expd.execute.timings import Timings
from expd.linux.inotify import Watcher
from expproto.progress import RunProgress, StageProgress

_journal = logging.getLogger("expd.execute")

DVCLIVE_METRICS = "dvclive/metrics.json"
"""Where DVCLive writes its newest values, beside `step`, unless it is told otherwise."""
_PAUSE_SECONDS = 0.2
"""Between two reports: a person sees no more than five a second, and a loop may write thousands."""
_FILE_BYTES_MAX = 64 * 1024
_FILES_MAX = 50
_STAGES_MAX = 50
_METRICS_MAX = 40
_KEY_CHARACTERS_MAX = 100
_DEPTH_MAX = 5
_INTEGER_MAX = 2**63

_Stamp = tuple[int, int, int] | None


class LiveMetrics:
    """The metrics files of one run: what they hold that was written since `watch`."""

    def __init__(self) -> None:
        self.step: int | None = None
        self.metrics: Mapping[str, object] = {}
        self._seen: dict[Path, _Stamp] = {}
        self._values: dict[Path, Mapping[str, object]] = {}

    def watch(self, paths: Sequence[Path]) -> None:
        """Begin: what these files hold now came with the experiment, and is no news. Others than JSON are not read."""
        chosen = [path for path in dict.fromkeys(paths) if path.suffix == ".json"][:_FILES_MAX]
        self._seen = {path: _stamp(path) for path in chosen}

    def directories(self) -> set[Path]:
        """Give where news of the files is to be expected: their directories, or what there is of the way to them."""
        return {next(filter(_is_directory, path.parents)) for path in self._seen}

    def read(self) -> None:
        """Read what has changed; what is gone or makes no sense leaves what was read before."""
        for path, seen in list(self._seen.items()):
            stamp = _stamp(path)
            if stamp == seen or stamp is None:
                continue
            self._seen[path] = stamp
            found = _read_map(path)
            if found is not None:
                self._values[path] = found
        merged = {key: value for values in self._values.values() for key, value in values.items()}
        step = merged.pop("step", None)
        self.step = step if isinstance(step, int) and not isinstance(step, bool) else self.step
        self.metrics = dict(list(merged.items())[:_METRICS_MAX])


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return path == path.parent


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wake whoever waits at its other end
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_map(path: Path) -> Mapping[str, object] | None:
    """Read a file of metrics; None if it is none, half of one or too large."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        value: object = json.loads(os.read(descriptor, _FILE_BYTES_MAX))
        return dict(_flat(value, "", 0)) if isinstance(value, dict) else None
    except (OSError, ValueError, RecursionError):
        return None
    finally:
        os.close(descriptor)


def _flat(value: Mapping[object, object], prefix: str, depth: int) -> Iterator[tuple[str, object]]:
    """Give the numbers of a map under dotted keys, as DVC names them; not-a-number as text."""
    for name, item in value.items():
        key = f"{prefix}{name}"[:_KEY_CHARACTERS_MAX].encode("utf-8", "backslashreplace").decode()
        if isinstance(item, dict) and depth < _DEPTH_MAX:
            yield from _flat(item, f"{key}.", depth + 1)
        elif isinstance(item, float):
            yield key, item if math.isfinite(item) else str(item)
        elif isinstance(item, bool) or (isinstance(item, int) and abs(item) < _INTEGER_MAX):
            yield key, item


class ProgressTeller:
    """Tells of one run whenever something has changed; `run` goes on until it is cancelled."""

    def __init__(
        self, timings: Timings, live: LiveMetrics, watcher: Watcher, tell: Callable[[RunProgress], Awaitable[None]]
    ) -> None:
        self._timings = timings
        self._live = live
        self._watcher = watcher
        self._tell = tell

    async def run(self) -> None:
        """Look, tell, wait for news, and leave those who listen a moment; a run never ends because of this."""
        try:
            await self._look_and_tell()
        except Exception:  # noqa: BLE001 - the boundary: a run without progress is better than none
            _journal.exception("progress is told no more")

    async def _look_and_tell(self) -> None:
        told: RunProgress | None = None
        while True:
            news = self._timings.bell.next_ring
            with ExitStack() as watches:
                for directory in self._live.directories():
                    with suppress(OSError):  # it went in this moment, or the user has no inotify watch left
                        watches.enter_context(self._watcher.ringing(directory, self._timings.bell))
                self._live.read()
                progress = progress_of(self._timings, self._live)
                if progress.begun and progress != told:
                    await self._tell(progress)
                    told = progress
                await news.wait()
            await trio.sleep(_PAUSE_SECONDS)


def progress_of(timings: Timings, live: LiveMetrics) -> RunProgress:
    """Say how far a run is."""
    under_way = [
        StageProgress(name=stage.name, started_at=stage.started_at, command_hash=stage.command_hash)
        for stage in timings.under_way[:_STAGES_MAX]
    ]
    return RunProgress(
        begun=timings.begun,
        done=timings.done,
        total=timings.total,
        stages=tuple(under_way),
        step=live.step,
        metrics=live.metrics,
    )
