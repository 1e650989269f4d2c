"""Real file systems that a test fills up, wears out or takes away; mounting them needs root."""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="file systems can be mounted by root alone")
needs_loop = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists(),
    reason="an ext4 in a file needs root, mkfs.ext4 and loop devices",
)
_BLOCK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A mounted file system of its own."""

    path: Path

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.path / "ballast").open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(b"x" * _BLOCK)

    def fill_names(self) -> None:
        """Leave no file free."""
        (self.path / "names").mkdir(exist_ok=True)
        with contextlib.suppress(OSError):
            for number in range(10**6):
                (self.path / "names" / str(number)).touch()

    def make_room(self) -> None:
        """Take away what filled it."""
        (self.path / "ballast").unlink(missing_ok=True)
        shutil.rmtree(self.path / "names", ignore_errors=True)

    def break_down(self) -> None:
        """Have ext4 do what it does when it meets an error: from now on nothing can be written, whoever has a file open."""
        subprocess.run(["mount", "-o", "remount,abort", self.path], check=True, capture_output=True)


@contextmanager
def a_small_disk(path: Path, size: str = "4m") -> Iterator[Disk]:
    """Mount a file system in memory for as long as the block."""
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tests", path], check=True)
    try:
        yield Disk(path=path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@contextmanager
def an_ext4(path: Path, megabytes: int = 24, files: int = 1024) -> Iterator[Disk]:
    """Mount an ext4 in a file beside it for as long as the block."""
    path.mkdir(parents=True)
    image = path.with_name(f"{path.name}.img")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-N", str(files), image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, path], check=True, capture_output=True)
    try:
        path.chmod(0o700)
        yield Disk(path=path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
        image.unlink()


_SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same: _IOR('X', 125, __u32)."""
_WITHOUT_LOG = 2
"""Nothing that is not on the disk now ever gets there, not even the log of the file system."""
_DISK_MEGABYTES = 512
"""More than mkfs.xfs and the daemon ask for; the file has holes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluggedDisk(Disk):
    """A file system whose power can be cut."""

    image: Path

    def cut(self) -> None:
        """Cut the power: what was written and not synced is gone, and everybody who has a file open meets errors."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
        finally:
            os.close(descriptor)

    def come_back(self) -> None:
        """Mount it again, as after a start; nobody may have anything open there."""
        subprocess.run(["umount", self.path], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True, capture_output=True)


@contextmanager
def a_plugged_disk(path: Path, kind: str) -> Iterator[PluggedDisk]:
    """Mount an ext4 or xfs in a file beside it for as long as the block."""
    path.mkdir(parents=True)
    image = path.with_name(f"{path.name}.img")
    with image.open("wb") as file:
        file.truncate(_DISK_MEGABYTES << 20)
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, path], check=True, capture_output=True)
    try:
        path.chmod(0o700)
        yield PluggedDisk(path=path, image=image)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
        image.unlink()
