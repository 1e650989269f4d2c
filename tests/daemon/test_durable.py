"""Files that are whole or absent, directories that are ours alone, locks that die with their holder."""

import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from expd.linux.durable import NotPrivate, check_private, private_directory, sync_directory, try_lock, write_durably

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")


def test_a_private_directory_is_made_for_us_alone(tmp_path: Path) -> None:
    """Mode 0700 whatever the umask, with the parents it needs."""
    before = os.umask(0)
    try:
        made = private_directory(tmp_path / "parent" / "state")
    finally:
        os.umask(before)

    assert made == tmp_path / "parent" / "state"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700


def test_a_private_directory_is_used_again(tmp_path: Path) -> None:
    """The one of the last start is as good as a new one, with what is in it."""
    (private_directory(tmp_path / "state") / "queue.db").touch()

    private_directory(tmp_path / "state")

    assert (tmp_path / "state" / "queue.db").exists()


def _link_to_a_private_one(path: Path) -> None:
    private_directory(path.with_name("real"))
    path.symlink_to("real")


def _directory_of_mode(mode: int) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        path.mkdir()
        path.chmod(mode)

    return make


NOT_PRIVATE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link": (_link_to_a_private_one, "is not a directory"),
    "a link to nowhere": (lambda path: path.symlink_to("gone"), "is not a directory"),
    "a file": (Path.touch, "is not a directory"),
    "open to its group": (_directory_of_mode(0o750), "mode 0750"),
    "open to all": (_directory_of_mode(0o701), "mode 0701"),
    "sticky and open": (_directory_of_mode(0o1777), "mode 1777"),
}


@pytest.mark.parametrize(("make", "reason"), NOT_PRIVATE.values(), ids=NOT_PRIVATE)
def test_what_others_can_reach_is_refused(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    """Somebody else may have put it there: it is named and neither used nor repaired."""
    path = tmp_path / "state"
    make(path)
    before = path.lstat()

    with pytest.raises(NotPrivate, match=reason) as refused:
        private_directory(path)

    assert refused.value.path == path
    assert path.lstat() == before


@as_root
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Private is not enough, it has to be ours: its owner could change everything in it."""
    path = private_directory(tmp_path / "state")
    os.chown(path, NOBODY, NOBODY)

    with pytest.raises(NotPrivate, match=f"belongs to user {NOBODY}, not to 0"):
        check_private(path)


def test_a_file_is_replaced_whole_and_for_us_alone(tmp_path: Path) -> None:
    """The new content stands in place of the old one, mode 0600, with nothing left beside it."""
    path = tmp_path / "record"
    path.write_bytes(b"old")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        write_durably(path, b"new\x00\n")
    finally:
        os.umask(before)

    assert path.read_bytes() == b"new\x00\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """What can't be put in its place is removed, and what was there stays."""
    path = tmp_path / "record"
    path.mkdir()  # a file can't be renamed over a directory

    with pytest.raises(OSError, match="directory"):
        write_durably(path, b"new")

    assert list(tmp_path.iterdir()) == [path]


WRITE_FOR_EVER = """
    import itertools, sys
    from pathlib import Path
    from expd.linux.durable import write_durably

    path = Path(sys.argv[1])
    for number in itertools.count():
        write_durably(path, f"{number:08}".encode() * 20_000)
        print(number, flush=True)
"""


def test_a_file_is_whole_or_absent_whenever_the_writer_is_killed(tmp_path: Path) -> None:
    """Killed at any moment, the file holds one writing from its first byte to its last, none that was told is older."""
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - pytest shows it with a failure
    rng = random.Random(seed)
    path = tmp_path / "record"

    for _ in range(12):
        path.unlink(missing_ok=True)
        told = _kill_a_writer(path, after_lines=rng.randrange(4), after_bytes=rng.randrange(1, 9))
        content = path.read_bytes() if path.exists() else b""

        assert content == content[:8] * (len(content) // 8)
        assert len(content) in {0, 160_000}
        assert int(content[:8] or -1) >= told


def _kill_a_writer(path: Path, *, after_lines: int, after_bytes: int) -> int:
    """Kill a process that writes a file again and again; gives the last number it has told."""
    command = [sys.executable, "-c", textwrap.dedent(WRITE_FOR_EVER), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        heard = b"".join(writer.stdout.readline() for _ in range(after_lines))
        if not after_lines:  # anywhere in its beginning: as soon as its first temporary file is there
            while not list(path.parent.iterdir()):
                assert writer.poll() is None
        for _ in range(after_bytes * 1000):
            pass
        writer.send_signal(signal.SIGKILL)
        heard += writer.stdout.read()
    told = [int(line) for line in heard.split(b"\n")[:-1]]
    return told[-1] if told else -1


def test_content_is_on_the_disk_before_its_name(tmp_path: Path) -> None:
    """The file is synced, then renamed, then its directory is synced: after a power cut it is old or new, never empty."""
    script = "import sys, pathlib, expd.linux.durable as d; d.write_durably(pathlib.Path(sys.argv[1]), b'new')"
    traced = ["strace", "-f", "-y", "-qq", "-e", "trace=fsync,rename,renameat,renameat2", "-o", str(tmp_path / "trace")]
    try:
        subprocess.run([*traced, sys.executable, "-c", script, str(tmp_path / "record")], check=True)
    except FileNotFoundError:
        pytest.skip("strace is not installed")

    calls = [line.split(" ", 1)[1].strip() for line in (tmp_path / "trace").read_text().splitlines()]
    assert [call.split("(")[0] for call in calls] == ["fsync", "rename", "fsync"]
    assert f"{tmp_path}/.record." in calls[0]
    assert f"<{tmp_path}>" in calls[2]


def test_names_of_a_directory_are_synced_or_said_not_to_be(tmp_path: Path) -> None:
    """A directory that is not there is an error: nothing is called durable that is not."""
    (tmp_path / "file").touch()
    sync_directory(tmp_path)

    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "gone")
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")


HOLD = """
    import sys
    from pathlib import Path
    from expd.linux.durable import try_lock

    print("held" if try_lock(Path(sys.argv[1])) is not None else "refused", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _a_holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process take a lock, and hold it until it ends."""
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    """Whoever comes second is told at once, in this process and in others."""
    path = tmp_path / "lock"

    with _a_holder(path):
        while_held = try_lock(path)
    first = try_lock(path)
    second = try_lock(path)

    assert first is not None
    assert (while_held, second) == (None, None)
    os.close(first)


def test_a_lock_dies_with_a_killed_holder(tmp_path: Path) -> None:
    """After `kill -9` the lock is free, with no file to be cleared away and no pid to be asked about."""
    path = tmp_path / "lock"
    with _a_holder(path) as holder:
        holder.kill()
        holder.wait()

        descriptor = try_lock(path)

    assert descriptor is not None
    assert path.read_bytes() == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.close(descriptor)


def test_a_lock_is_not_inherited_by_commands(tmp_path: Path) -> None:
    """What the holder starts does not keep the lock when the holder has gone."""
    descriptor = try_lock(tmp_path / "lock")
    assert descriptor is not None
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as command:
        os.close(descriptor)

        again = try_lock(tmp_path / "lock")

        assert command.stdin is not None
        command.stdin.close()
    assert again is not None
    os.close(again)
