"""The limit of a log: what is kept is bounded, its first and last part are what was written, and places stay places."""

import os
from contextlib import closing
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from expd.execute.logcap import LogCap, punch_hole
from expd.linux.inotify import Watcher
from expd.serve.logs import STORED_BYTES_MIN, LogStream, Position, tail_position
from expproto.logs import Mark, Output, StoredOutput
from expproto.vocabulary import EntryId

LIMIT = 64 * 1024
LINE = b"%015d\n"


def _lines(first: int, count: int) -> bytes:
    return b"".join(LINE % number for number in range(first, first + count))


async def _sent(log: Path, place: Position = Position()) -> list[tuple[int, bytes]]:  # noqa: B008 - it is frozen
    found: list[tuple[int, bytes]] = []

    async def take(event: Output | StoredOutput | Mark) -> None:
        await trio.lowlevel.checkpoint()
        if isinstance(event, Output):
            found.append((event.offset, event.data))

    with closing(LogStream(EntryId(1), log, None, take)) as stream:
        await stream.send_rest(place)
    return found


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(0, 12_000), min_size=1, max_size=6))
def test_first_and_last_part_stay_within_the_limit(tmp_path_factory: pytest.TempPathFactory, counts: list[int]) -> None:
    """However much is written between two looks: the rest takes no room, and what is read is what stood at its place."""
    log, told = tmp_path_factory.mktemp("log") / "1.log", list[str]()
    with log.open("ab", buffering=0) as file:
        cap, written = LogCap(file.fileno(), LIMIT, told.append), b""
        for count in counts:
            written += _lines(len(written) // len(LINE % 0), count)
            file.write(written[os.fstat(file.fileno()).st_size :])
            cap.look()
        blocks = os.fstat(file.fileno()).st_blocks

    sent = trio.run(_sent, log)

    assert all(written[offset : offset + len(data)] == data for offset, data in sent)
    kept = b"".join(data for _offset, data in sent)
    assert log.stat().st_size == len(written)
    if len(written) <= LIMIT:
        assert (kept, told) == (written, [])
    else:
        assert blocks * 512 <= LIMIT
        assert kept.startswith(written[: LIMIT // 2])
        assert kept.endswith(written[-LIMIT // 4 :])
        assert len(told) == 1


async def test_a_log_that_grows_is_looked_at_by_itself(tmp_path: Path) -> None:
    """Told by inotify that something was written, the limit is kept while the commands go on."""
    log, watcher = tmp_path / "1.log", Watcher()
    with log.open("ab", buffering=0) as file:
        cap = LogCap(file.fileno(), LIMIT, lambda _text: cut.set())
        cut = trio.Event()
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watcher.run)
                nursery.start_soon(cap.run, log, watcher)
                while not cut.is_set():
                    file.write(_lines(0, 100))
                    await trio.sleep(0.001)
                nursery.cancel_scope.cancel()
    watcher.close()

    assert log.stat().st_blocks * 512 < log.stat().st_size


def test_the_last_lines_are_looked_for_behind_what_was_cut(tmp_path: Path) -> None:
    """A hole is no text: more lines than stand behind it begin at its end, however large it is."""
    log = tmp_path / "1.log"
    log.write_bytes(_lines(0, 2**20))
    size, hole_end = log.stat().st_size, log.stat().st_size - LIMIT
    with log.open("r+b") as file:
        punch_hole(file.fileno(), LIMIT, hole_end)

    assert tail_position(log, None, 10) == Position(offset=size - 10 * 16)
    assert tail_position(log, None, 10**6) == Position(offset=hole_end)


async def test_a_log_that_was_truncated_goes_on_at_its_end(tmp_path: Path) -> None:
    """Shorter than what was shown, it is told by a piece without bytes, and followed from there."""
    log = tmp_path / "1.log"
    log.write_bytes(b"short")

    assert await _sent(log, Position(offset=100)) == [(5, b"")]


async def test_a_complete_log_is_named_where_whoever_follows_reads_it(tmp_path: Path) -> None:
    """Long pieces on either side of what was cut out are named, each once; a short one is sent."""
    log, found = tmp_path / "1.log", list[Output | StoredOutput | Mark]()
    first, cut, last = 2 * STORED_BYTES_MIN, 4 * STORED_BYTES_MIN, 64 * 1024
    with log.open("wb") as file:
        file.write(b"a" * first)
        file.seek(cut)
        file.write(b"b" * last)

    async def take(event: Output | StoredOutput | Mark) -> None:
        await trio.lowlevel.checkpoint()
        found.append(event)

    with closing(LogStream(EntryId(1), log, None, take, is_read_there=True)) as stream:
        await stream.send_rest(Position(offset=1))

    status = log.stat()
    assert found == [
        StoredOutput(entry=EntryId(1), offset=1, end=first, path=str(log), device=status.st_dev, inode=status.st_ino),
        Output(entry=EntryId(1), offset=cut, data=b"b" * last),
    ]
