"""Live progress: what is read of metrics files, whatever they hold, and when it is told."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from expd.execute.progress import LiveMetrics, ProgressTeller
from expd.execute.timings import Timings
from expd.linux.inotify import Watcher
from expproto.progress import RunProgress

DEADLINE_SECONDS = 10

NONSENSE: dict[str, Callable[[Path], object]] = {
    "half a file": lambda path: path.write_text('{"loss": 0.'),
    "empty": lambda path: path.write_text(""),
    "binary": lambda path: path.write_bytes(b"\xff\x00" * 50),
    "a list": lambda path: path.write_text("[1, 2]"),
    "nested without end": lambda path: path.write_text('{"a":' * 10_000),
    "too large": lambda path: path.write_text(json.dumps({"loss": 1, "text": "x" * 100_000})),
    "a pipe": os.mkfifo,
    "a directory": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path),
    "nothing": lambda path: path,
}


@pytest.mark.parametrize("write", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_leaves_what_was_read_before(tmp_path: Path, write: Callable[[Path], object]) -> None:
    """Whatever stands where the metrics were, the last good ones stay."""
    path, live = tmp_path / "metrics.json", LiveMetrics()
    live.watch([path])
    path.write_text('{"loss": 0.5, "step": 3}')
    live.read()

    path.unlink()
    write(path)
    live.read()

    assert (live.step, live.metrics) == (3, {"loss": 0.5})


def test_what_came_with_the_experiment_is_no_news(tmp_path: Path) -> None:
    """Metrics of the baseline are not those of the run; once they are rewritten they are."""
    path, live = tmp_path / "metrics.json", LiveMetrics()
    path.write_text('{"loss": 0.5}')
    live.watch([path])
    live.read()
    before = live.metrics
    path.write_text('{"loss": 0.25}')
    live.read()

    assert (before, live.metrics) == ({}, {"loss": 0.25})


def test_only_what_fits_a_message_is_read(tmp_path: Path) -> None:
    """Texts and numbers too large are left out, not-a-number is a text, and there is a bound on how many there are."""
    path, live = tmp_path / "metrics.json", LiveMetrics()
    live.watch([path])
    path.write_text(
        '{"nan": NaN, "text": "x", "big": 1e999, "huge": 99999999999999999999, "step": true, "ok": {"a": 1}}'
    )
    live.read()
    first = live.metrics
    path.write_text(json.dumps({f"key {number}": number for number in range(1000)}))
    live.read()

    assert first == {"nan": "nan", "big": "inf", "ok.a": 1}
    assert live.step is None
    assert len(live.metrics) == 40


class _Listener:
    """Hears what is told of a run."""

    def __init__(self) -> None:
        self._sending, self.heard = trio.open_memory_channel[RunProgress](100)

    async def tell(self, progress: RunProgress) -> None:
        self._sending.send_nowait(progress)

    async def next(self) -> RunProgress:
        with trio.fail_after(DEADLINE_SECONDS):
            return await self.heard.receive()


async def test_files_replaced_and_directories_made_are_told(nursery: trio.Nursery, tmp_path: Path) -> None:
    """The directory of the metrics may come later, go and come again; a file renamed into place is news each time."""
    watcher, timings, live, listener = Watcher(), Timings(), LiveMetrics(), _Listener()
    path = tmp_path / "dvclive" / "metrics.json"
    live.watch([path])
    nursery.start_soon(watcher.run)
    timings.begin("train", "ran")
    nursery.start_soon(ProgressTeller(timings, live, watcher, listener.tell).run)

    steps = [(await listener.next()).step]
    for step in (1, 2):
        path.parent.mkdir()
        new = path.with_name("new")
        new.write_text(f'{{"step": {step}}}')
        new.rename(path)
        steps.append((await listener.next()).step)
        path.unlink()
        path.parent.rmdir()
    nursery.cancel_scope.cancel()
    watcher.close()

    assert steps == [None, 1, 2]


async def test_without_watches_the_stages_are_told_alone(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Where inotify gives no watch, stages are told nevertheless, and metrics with them."""
    watcher, timings, live, listener = Watcher(), Timings(), LiveMetrics(), _Listener()
    watcher.close()  # each watch is refused now, as when the user has none left
    live.watch([tmp_path / "metrics.json"])
    timings.begin("prepare", "ran").ended()
    nursery.start_soon(ProgressTeller(timings, live, watcher, listener.tell).run)
    first = await listener.next()
    (tmp_path / "metrics.json").write_text('{"loss": 0.5}')
    timings.begin("train", "ran")
    timings.begin("evaluate", "ran")
    second = await listener.next()
    nursery.cancel_scope.cancel()

    assert (first.begun, first.stages) == (1, ())
    assert [stage.name for stage in second.stages] == ["train", "evaluate"]
    assert second.metrics == {"loss": 0.5}
