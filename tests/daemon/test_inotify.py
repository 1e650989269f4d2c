"""The watcher: a bell for everything that is written or appears, and silence afterwards."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from expd.bell import Bell
from expd.linux.inotify import Watcher

DEADLINE_SECONDS = 10


@pytest.fixture
async def watcher(nursery: trio.Nursery) -> AsyncIterator[Watcher]:
    """Give a watcher that runs."""
    running = Watcher()
    nursery.start_soon(running.run)
    yield running
    nursery.cancel_scope.cancel()
    running.close()


def _append(path: Path, text: str = "more\n") -> None:
    with path.open("a") as file:
        file.write(text)


async def _heard(ring: trio.Event) -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        await ring.wait()


async def test_appending_to_a_file_rings(watcher: Watcher, tmp_path: Path) -> None:
    """A follower hears of each piece of output, one after the other."""
    log, bell = tmp_path / "log", Bell()
    log.touch()

    with watcher.ringing(log, bell):
        for _ in range(3):
            ring = bell.next_ring
            _append(log)
            await _heard(ring)


APPEARANCES: dict[str, Callable[[Path], object]] = {
    "created": lambda directory: (directory / "new").touch(),
    "moved in": lambda directory: (directory.parent / "outside").rename(directory / "new"),
    "made as a directory": lambda directory: (directory / "new").mkdir(),
    "linked": lambda directory: (directory / "new").symlink_to("nowhere"),
}


@pytest.mark.parametrize("appear", APPEARANCES.values(), ids=APPEARANCES)
async def test_a_new_name_in_a_directory_rings(
    watcher: Watcher, tmp_path: Path, appear: Callable[[Path], object]
) -> None:
    """Whatever way a file comes into a directory, who waits for it hears of it."""
    directory, bell = tmp_path / "runs", Bell()
    directory.mkdir()
    (tmp_path / "outside").touch()

    with watcher.ringing(directory, bell):
        ring = bell.next_ring
        appear(directory)
        await _heard(ring)


async def test_all_bells_of_one_file_ring(watcher: Watcher, tmp_path: Path) -> None:
    """Several follow one log, by whatever name they have it; when one leaves, the others still hear."""
    log = tmp_path / "log"
    log.touch()
    (tmp_path / "alias").hardlink_to(log)
    first, second = Bell(), Bell()

    with watcher.ringing(log, first):
        with watcher.ringing(tmp_path / "alias", second):
            rings = first.next_ring, second.next_ring
            _append(log)
            await _heard(rings[0])
            await _heard(rings[1])
        left, stayed = second.next_ring, first.next_ring
        _append(log)
        await _heard(stayed)

    assert not left.is_set()


async def test_a_bell_is_silent_after_leaving(watcher: Watcher, tmp_path: Path) -> None:
    """What is written after the end of the block rings nobody, also when it is watched again by others."""
    log, other = tmp_path / "log", tmp_path / "other"
    log.touch()
    other.touch()
    bell, witness = Bell(), Bell()
    with watcher.ringing(log, bell):
        pass
    ring, seen = bell.next_ring, witness.next_ring

    with watcher.ringing(other, witness):
        _append(log)
        _append(other)
        await _heard(seen)

    assert not ring.is_set()


async def test_nothing_is_watched_for_nobody(watcher: Watcher, tmp_path: Path) -> None:
    """The kernel's watches are few: each is given back with its last bell."""
    (tmp_path / "log").touch()
    await trio.lowlevel.checkpoint()
    before = _watches_of_this_process()

    with watcher.ringing(tmp_path / "log", Bell()):
        with watcher.ringing(tmp_path / "log", Bell()):
            pass
        inside = _watches_of_this_process()

    assert (inside, _watches_of_this_process()) == (before + 1, before)


def _watches_of_this_process() -> int:
    """Count the watches of all inotify instances, proc_pid_fdinfo(5)."""
    count = 0
    for file in Path("/proc/self/fdinfo").iterdir():
        try:
            count += file.read_text(encoding="ascii").count("inotify wd:")
        except FileNotFoundError:  # the listing's own descriptor
            continue
    return count


async def test_one_file_does_not_ring_for_another(watcher: Watcher, tmp_path: Path) -> None:
    """A chatty run wakes its own followers only."""
    chatty, quiet = tmp_path / "chatty", tmp_path / "quiet"
    chatty.touch()
    quiet.touch()
    bells = Bell(), Bell()

    with watcher.ringing(chatty, bells[0]), watcher.ringing(quiet, bells[1]):
        chatty_ring, quiet_ring = bells[0].next_ring, bells[1].next_ring
        _append(chatty)
        await _heard(chatty_ring)

    assert not quiet_ring.is_set()


async def test_a_removed_file_harms_nobody(watcher: Watcher, tmp_path: Path) -> None:
    """The kernel forgets the watch by itself; leaving it is no error, and a new file of the name is watched anew."""
    log, bell = tmp_path / "log", Bell()
    log.touch()
    with watcher.ringing(log, bell):
        log.unlink()
    log.touch()

    with watcher.ringing(log, bell):
        ring = bell.next_ring
        _append(log)
        await _heard(ring)


async def test_a_missing_file_is_named(watcher: Watcher, tmp_path: Path) -> None:
    """The error says which path could not be watched."""
    await trio.lowlevel.checkpoint()

    with pytest.raises(FileNotFoundError) as refused, watcher.ringing(tmp_path / "gone", Bell()):
        pass

    assert refused.value.filename == str(tmp_path / "gone")


async def test_more_news_than_the_kernel_keeps_rings_for_all(tmp_path: Path) -> None:
    """When the kernel's queue of events overflows nobody can tell what was lost: every bell rings."""
    names = [tmp_path / name for name in ("one", "other", "quiet")]
    bells = [Bell() for _ in names]
    for name in names:
        name.touch()
    watcher = Watcher()

    with ExitStack() as watched:
        for name, bell in zip(names, bells, strict=True):
            watched.enter_context(watcher.ringing(name, bell))
        rings = [bell.next_ring for bell in bells]
        _flood(*names[:2])
        _append(names[2])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run)
            for ring in rings:
                await _heard(ring)
            nursery.cancel_scope.cancel()
    watcher.close()


def _flood(one: Path, other: Path) -> None:
    """Cause one event more than the kernel keeps; two files in turn, since equal neighbours would be one event."""
    events_max = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
    with one.open("ab", buffering=0) as first, other.open("ab", buffering=0) as second:
        for _ in range(events_max // 2 + 1):
            first.write(b"x")
            second.write(b"x")
