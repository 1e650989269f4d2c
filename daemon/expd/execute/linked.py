"""Tracked data that stands in a slot as symbolic links, left there for the next run where a fresh checkout would have the same.

Making a link takes half a millisecond, and looking at one a few microseconds. Before any command runs it is written down
beside the slot what lstat(2) says of every link. The next run has them still, if the `.dvc` file is the same object, what
decides about its data is the same too, and each link is: anything that is changed, removed or added there, down to the
mode of a directory or of an object in the cache, and all of it is removed, to be made anew.
"""

import contextlib
import os
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgpack

from expd.execute.manifest import RACY_NS
from expd.gitio.repository import TreeFile
from expd.pipeline.cache import OBJECT_MODE
from expd.pipeline.model import DATA_FILE_SUFFIX

_VERSION = 1
_LINKS_MIN = 100
"""Fewer are made anew in the time in which the clock goes on."""
_LINKS_MAX = 200_000
"""What is known of more takes more memory, 100 MB and beyond, than a worker should have."""
_GOVERNING = (".gitignore", ".dvcignore")

_Stamps = Mapping[str, tuple[int, int, int]]
"""Inode, and times of data and status in nanoseconds, by the path below the directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """One directory of links: the object of its `.dvc` file, on which terms it was made, and what is in it."""

    rev: str
    terms: str
    stamps: _Stamps
    noted_ns: int
    """When all of it was there, wall clock."""

    def is_whole(self, name: str, directory: int, umask: int) -> bool:
        """Tell whether the directory `name` holds just these links, each leading to an object of the cache; follows no link to a directory."""
        try:
            return self._count(name, directory, umask) == len(self.stamps)
        except OSError:  # a run may have closed a directory
            return False

    def _count(self, name: str, directory: int, umask: int) -> int:
        """Count the links that are as they were; -1 for whatever else there is."""
        found = 0
        waiting = [(name, "")]
        while waiting:
            place, prefix = waiting.pop()
            descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o777 & ~umask:
                    return -1
                with os.scandir(descriptor) as entries:
                    listed = list(entries)
                if not listed:  # no link has made it
                    return -1
                for entry in listed:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((f"{place}/{entry.name}", f"{prefix}{entry.name}/"))
                    elif self._is_untouched(prefix + entry.name, entry):
                        found += 1
                    else:
                        return -1
            finally:
                os.close(descriptor)
        return found

    def _is_untouched(self, path: str, entry: os.DirEntry[str]) -> bool:
        status = entry.stat(follow_symlinks=False)
        if self.stamps.get(path) != _stamp_of(status) or status.st_ctime_ns >= self.noted_ns - RACY_NS:
            return False
        try:
            return entry.stat().st_mode == stat.S_IFREG | OBJECT_MODE
        except OSError:
            return False


def _stamp_of(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def linked_path(worktree: Path) -> Path:
    """Give the place where it is written down what is linked in a worktree."""
    return worktree.with_name(f"{worktree.name}.linked")


def usable(found: Mapping[str, Linked], files: Mapping[str, TreeFile], terms: str | None) -> dict[str, Linked]:
    """Give the directories that a checkout of these files may leave as they are; with None as terms no one."""
    if terms is None:
        return {}
    now = terms_of(files, terms)
    return {path: linked for path, linked in found.items() if (linked.rev, linked.terms) == (_rev_of(path, files), now)}


def _rev_of(path: str, files: Mapping[str, TreeFile]) -> str | None:
    file = files.get(path + DATA_FILE_SUFFIX)
    return None if file is None or path in files else file.rev


def terms_of(files: Mapping[str, TreeFile], terms: str) -> str:
    """Say what decides, beside a `.dvc` file, whether and how its data is linked: settings and what ignores it."""
    governing = (path for path in files if path.endswith(_GOVERNING) or path.startswith(".dvc/") or "/.dvc/" in path)
    return "\n".join([terms, *(f"{path} {files[path].rev}" for path in sorted(governing))])


def note(worktree: Path, places: Iterable[str], files: Mapping[str, TreeFile], terms: str) -> None:
    """Write down what is linked at some places; to be called before any command runs. What is written down already stays."""
    known = load_linked(worktree)
    new = [path for path in places if path not in known and _rev_of(path, files) is not None]
    looked = {path: stamps for path in new if (stamps := _look(worktree / path)) is not None}
    if not looked:
        return
    time.sleep(RACY_NS / 1e9)  # the clock that stamps files has gone on since: the links are believed
    now, noted_ns = terms_of(files, terms), time.time_ns()
    for path, stamps in looked.items():
        known[path] = Linked(rev=str(_rev_of(path, files)), terms=now, stamps=stamps, noted_ns=noted_ns)
    _save(worktree, known)


def retain(worktree: Path, linked: Mapping[str, Linked]) -> None:
    """Let nothing else be written down."""
    if linked:
        _save(worktree, linked)
    else:
        linked_path(worktree).unlink(missing_ok=True)


def _look(directory: Path) -> _Stamps | None:
    """Look at every link below a directory; None if there is anything else, or so little that it is not worth it."""
    stamps: dict[str, tuple[int, int, int]] = {}
    waiting = [""]
    try:
        while waiting:
            prefix = waiting.pop()
            with os.scandir(directory / prefix) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{prefix}{entry.name}/")
                    elif entry.is_symlink():
                        stamps[prefix + entry.name] = _stamp_of(entry.stat(follow_symlinks=False))
                    else:
                        return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stamps if _LINKS_MIN <= len(stamps) <= _LINKS_MAX else None


def _save(worktree: Path, known: Mapping[str, Linked]) -> None:
    """Write it as a whole; it needs no sync, since without it everything is linked again.

    What the disk does not take is not remembered; what was remembered before is compared with what is there.
    """
    rows = [
        (os.fsencode(path), each.rev, each.terms.encode("utf-8", "surrogateescape"), each.noted_ns,
         os.fsencode("\0".join(each.stamps)), list(each.stamps.values()))
        for path, each in known.items()
    ]  # fmt: skip
    temporary = worktree.with_name(f"{worktree.name}.linking")
    with contextlib.suppress(OSError):
        temporary.write_bytes(msgpack.packb([_VERSION, rows]))
        temporary.rename(linked_path(worktree))


def load_linked(worktree: Path) -> dict[str, Linked]:
    """Read what was written down; what is missing or makes no sense is nothing."""
    try:
        version, rows = msgpack.unpackb(linked_path(worktree).read_bytes(), use_list=False)
        if version != _VERSION:
            return {}
        return {
            os.fsdecode(path): Linked(
                rev=str(rev),
                terms=terms.decode("utf-8", "surrogateescape"),
                stamps=dict(zip(os.fsdecode(names).split("\0"), stamps, strict=True)),
                noted_ns=int(noted_ns),
            )
            for path, rev, terms, noted_ns, names, stamps in rows
        }
    except (OSError, ValueError, TypeError, AttributeError, msgpack.UnpackException):
        return {}
