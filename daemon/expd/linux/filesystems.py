"""On which file system a path lies, and how full it is: mountinfo of proc(5), and statvfs(3)."""

import os
from dataclasses import dataclass
from pathlib import Path

NETWORK = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs",
    "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.beegfs",
})  # fmt: skip
"""Types that other machines see too: their locks and their caches are not those of this kernel alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """The file system of a path: its type, where it is mounted, and its bytes as an ordinary user has them."""

    type: str
    mounted_at: str
    free_bytes: int
    size_bytes: int

    @property
    def is_network(self) -> bool:
        """Tell whether other machines may write it too."""
        return self.type in NETWORK


class NotLocal(Exception):
    """A directory of ours is on a network file system; the message says which, why not, and what to do."""


def check_local(path: Path, variable: str, mounts: Path = Path("/proc/self/mountinfo")) -> None:
    """Raise NotLocal if a path is on a network file system; nothing where the system does not tell."""
    try:
        system = file_system_of(path, mounts)
    except OSError:
        return
    if system.is_network:
        raise NotLocal(
            f"{path} is on a network file system ({system.type}, mounted at {system.mounted_at}), where neither locks nor a "
            f"database are safe: set {variable} to a directory of this machine"
        )


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> FileSystem:
    """Describe the file system of a path that exists, or of what is nearest above it; raises OSError."""
    found = path
    while not found.exists():
        found = found.parent
    found = found.resolve()
    kind, mounted_at = _mount_of(found, mounts.read_text(encoding="utf-8", errors="surrogateescape"))
    space = os.statvfs(found)
    return FileSystem(
        type=kind,
        mounted_at=mounted_at,
        free_bytes=space.f_bavail * space.f_frsize,
        size_bytes=space.f_blocks * space.f_frsize,
    )


def _mount_of(path: Path, text: str) -> tuple[str, str]:
    """Find the innermost mount above a path; of several at one place the last one covers the others."""
    best = ("unknown", "/")
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        mounted_at = _unescaped(fields.split(" ")[4])
        if path.is_relative_to(mounted_at) and len(mounted_at) >= len(best[1]):
            best = (rest.split(" ")[0], mounted_at)
    return best


def _unescaped(text: str) -> str:
    """Read the octal escapes of proc(5): space, tab, newline, backslash."""
    for code in ("040", "011", "012", "134"):
        text = text.replace(f"\\{code}", chr(int(code, 8)))
    return text
