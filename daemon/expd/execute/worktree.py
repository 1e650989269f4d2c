"""A private worktree that is used again and again, and always holds what a fresh checkout would, byte for byte.

libgit2's forced checkout writes through a symbolic link that an earlier run left in place of a directory, outside the
worktree. So the slot is swept first, by directory descriptors that never follow a link: whatever is not exactly what
was checked out there, and wanted again, is removed; only then is anything written.

The manifest lies beside the worktree, where its commands have no business: path → object, mode, and what lstat(2)
said when the file had been written. Files stamped in the same instant as the manifest are never believed unchanged: they
are read, and stay if they hold what would be written.
"""

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgpack

from expd.gitio.repository import EXECUTABLE, LINK, REGULAR, SUBMODULE, TreeFile
from expd.gitio.slot import Directories
from expd.gitio.submodules import Submodule

_RACY_NS = 20_000_000
"""20 ms: twice the coarsest tick with which Linux stamps files (CONFIG_HZ=100)."""
_MANIFEST_VERSION = 1
_PRIVATE_MODE = 0o600
_GIT = ".git"

EMPTY_MAP: Mapping[str, bytes] = MappingProxyType({})

ReadContent = Callable[[TreeFile, str], bytes | Path]
"""Gives what a file holds, or a file that holds it."""
_COPY_BYTES = 1 << 24
_READ_BACK_BYTES_MAX = 1 << 20
"""A young file that is larger is written again and not compared: it would be in memory twice."""


class Stamp(NamedTuple):
    """What lstat(2) tells of a file that nobody has touched; a tuple, of which ten thousand are made in milliseconds."""

    inode: int
    size: int
    mode: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What was checked out, and when it was complete (`stamped_ns`, wall clock)."""

    files: Mapping[str, tuple[TreeFile, Stamp]]
    stamped_ns: int
    submodules: tuple[Submodule, ...] = ()
    """Those whose files are among `files`; known for as long as the run, and not stored."""
    pointers: tuple[str, ...] = ()
    """Files that are Git LFS pointers, their content being nowhere here; not stored either."""

    def is_untouched(self, path: str, status: os.stat_result) -> bool:
        """Tell whether a file is for certain still what was checked out."""
        found = self.files.get(path)
        now = (status.st_ino, status.st_size, status.st_mode, status.st_mtime_ns, status.st_ctime_ns)
        return found is not None and found[1] == now and found[1].ctime_ns < self.stamped_ns - _RACY_NS


EMPTY = Manifest(files={}, stamped_ns=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedChanges:
    """What a run did to the files that were checked out."""

    touched: tuple[str, ...]
    """There, and perhaps changed."""
    deleted: tuple[str, ...]


def check_out(
    worktree: Path, wanted: Mapping[str, TreeFile], read_content: ReadContent, private: Mapping[str, bytes] = EMPTY_MAP
) -> Manifest:
    """Make a worktree hold exactly the wanted files; gives the new manifest, which is stored beside it.

    A `private` file, with mode 0600, may stay beside them where it holds just these bytes.
    """
    make_slot(worktree)
    manifest = load_manifest(worktree)
    with contextlib.suppress(
        FileNotFoundError
    ):  # its inode serves for the next one: a new one costs more than all else of it
        manifest_path(worktree).rename(_next_manifest_path(worktree))
    sweep = _Sweep(manifest, wanted, read_content, private)
    sweep.run(worktree)
    stamps = {path: manifest.files[path][1] for path in sweep.kept}
    for path, file in wanted.items():
        if path not in stamps:
            stamps[path] = _write(worktree / path, file, path, read_content)
    return _save_manifest(worktree, {path: (file, stamps[path]) for path, file in wanted.items()})


def make_slot(worktree: Path) -> None:
    """Make the place of a worktree a directory of ours; a link a run has put there is removed, not followed."""
    if worktree.is_symlink() or (worktree.exists() and not worktree.is_dir()):
        worktree.unlink()
    worktree.mkdir(parents=True, exist_ok=True, mode=0o700)
    worktree.chmod(0o700)


def tracked_changes(worktree: Path, manifest: Manifest) -> TrackedChanges:
    """Compare the files that were checked out with what is there now: one lstat a file, and one a directory.

    As Git has it, what is beyond a link is not there, and neither is a file whose name a directory has now. What is in
    submodules is named with the rest.
    """
    touched, deleted = [], []
    directories = {"": True}
    for path, (file, _stamp_then) in manifest.files.items():
        if path.endswith(f"/{_GIT}"):
            continue
        status = status_at(worktree, path, directories)
        is_directory = status is not None and stat.S_ISDIR(status.st_mode)
        if status is None or (is_directory and file.mode != SUBMODULE):
            deleted.append(path)
        elif not is_directory and not manifest.is_untouched(path, status):
            touched.append(path)
    return TrackedChanges(touched=tuple(touched), deleted=tuple(deleted))


def status_at(worktree: Path, path: str, directories: dict[str, bool]) -> os.stat_result | None:
    """Look at one path without following a link anywhere in it; `directories` remembers which ones are real."""
    parent = path.rpartition("/")[0]
    if parent not in directories:
        status = status_at(worktree, parent, directories)
        directories[parent] = status is not None and stat.S_ISDIR(status.st_mode)
    if not directories[parent]:
        return None
    try:
        return (worktree / path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def new_files(worktree: Path, manifest: Manifest, is_ignored: Callable[[str], bool]) -> list[str]:
    """List the files that were not checked out and that Git does not ignore."""
    found: list[str] = []
    submodules = {submodule.path for submodule in manifest.submodules}
    directories = [""]
    while directories:
        prefix = directories.pop()
        with os.scandir(worktree / prefix) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = prefix + entry.name
                is_directory = entry.is_dir(follow_symlinks=False)
                if is_directory and path in submodules:
                    directories.append(path + "/")
                elif entry.name == _GIT or _is_known(manifest, path, is_directory):
                    continue
                elif is_directory:
                    if not is_ignored(path + "/"):
                        directories.append(path + "/")
                elif not is_ignored(path):
                    found.append(path)
    return sorted(found)


def _is_known(manifest: Manifest, path: str, is_directory: bool) -> bool:  # noqa: FBT001 - what scandir(3) has told
    """Tell whether a path was checked out; a directory in place of a file was not."""
    found = manifest.files.get(path)
    return found is not None and (found[0].mode == SUBMODULE or not is_directory)


def holds(name: str, status: os.stat_result, content: bytes, mode: int, directory: int | None = None) -> bool:
    """Tell whether a file is a regular one with these bytes and this mode, and no second name; `status` is lstat(2)'s of it."""
    if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) != mode:
        return False
    if status.st_nlink != 1 or status.st_size != len(content):
        return False
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return False
    try:
        return os.read(descriptor, len(content) + 1) == content
    except OSError:
        return False
    finally:
        os.close(descriptor)


def forget(worktree: Path) -> None:
    """Let the next checkout believe nothing of what is there."""
    manifest_path(worktree).unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a directory whatever a run did to its modes; a link is removed itself, never followed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        _remove_beside_others(path)
    except PermissionError:
        for directory, _subdirectories, _files in os.walk(path):
            Path(directory).chmod(0o700)
        _remove_beside_others(path)


def _remove_beside_others(path: Path) -> None:
    """Remove what another worker may be removing as well: what it took in between is not missed."""
    while path.is_dir():
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue


def strip(path: Path, kept: Directories, files: Mapping[str, bytes] = EMPTY_MAP) -> set[str]:
    """Leave nothing of a directory but those below it that are named, with the modes of fresh ones, and `files` that hold just this.

    Anything else goes, a link itself and never what it leads to. Gives the files that are left.
    """
    stripping = _Stripping(files)
    try:
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == stripping.directory_mode:
            stripping.run(str(path), "", kept)
            return stripping.left
        remove_tree(path)
    except FileNotFoundError:
        return set()
    except PermissionError:
        remove_tree(path)
    return set()


class _Stripping:
    """One walk through a directory that leaves what a fresh one has."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        umask = _umask()
        self.left: set[str] = set()
        self.directory_mode = 0o777 & ~umask
        self._file_mode = 0o666 & ~umask
        self._files = files

    def run(self, path: str, prefix: str, kept: Directories) -> None:
        with os.scandir(path) as entries:
            listed = list(entries)
        for entry in listed:
            name, status = prefix + entry.name, entry.stat(follow_symlinks=False)
            below, is_directory = kept.get(entry.name), stat.S_ISDIR(status.st_mode)
            if below is not None and is_directory and stat.S_IMODE(status.st_mode) == self.directory_mode:
                self.run(entry.path, f"{name}/", below)
            elif is_directory:
                remove_tree(Path(entry.path))
            elif name in self._files and holds(entry.path, status, self._files[name], self._file_mode):
                self.left.add(name)
            else:
                os.unlink(entry.path)  # noqa: PTH108 - pathlib takes longer than the system


class _Sweep:
    """One walk through a slot that leaves only what the next run wants and the last one did not touch."""

    def __init__(
        self,
        manifest: Manifest,
        wanted: Mapping[str, TreeFile],
        read_content: ReadContent,
        private: Mapping[str, bytes],
    ) -> None:
        self.kept: set[str] = set()
        self._manifest = manifest
        self._wanted = wanted
        self._read_content = read_content
        self._private = private
        self._directories = directories_of(wanted)
        self._umask = _umask()

    def run(self, worktree: Path) -> None:
        descriptor = os.open(worktree, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._directory(descriptor, "")
        finally:
            os.close(descriptor)

    def _directory(self, descriptor: int, prefix: str) -> None:
        with os.scandir(descriptor) as entries:
            listed = list(entries)
        for entry in listed:
            path = prefix + entry.name
            if path == _GIT:
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode) and path in self._directories:
                self._enter(descriptor, entry.name, path)
            elif stat.S_ISDIR(status.st_mode):
                self._remove_directory(descriptor, entry.name, path)
            elif self._is_wanted_still(descriptor, entry.name, path, status):
                self.kept.add(path)
            elif not self._is_private(descriptor, entry.name, path, status):
                os.unlink(entry.name, dir_fd=descriptor)

    def _enter(self, descriptor: int, name: str, path: str) -> None:
        _make_usable(name, descriptor, self._umask)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
        try:
            self._directory(below, path + "/")
        finally:
            os.close(below)

    def _remove_directory(self, descriptor: int, name: str, path: str) -> None:
        """A submodule's empty place may stay; everything else below an unwanted directory goes."""
        wanted = self._wanted.get(path)
        if wanted is not None and wanted.mode == SUBMODULE:
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=descriptor)
        try:
            shutil.rmtree(name, dir_fd=descriptor)
        except FileNotFoundError:
            return
        except PermissionError:
            remove_tree(Path(f"/proc/self/fd/{descriptor}") / name)

    def _is_wanted_still(self, directory: int, name: str, path: str, status: os.stat_result) -> bool:
        checked_out = self._manifest.files.get(path)
        if checked_out is None or checked_out[0] != self._wanted.get(path):
            return False
        file, stamp = checked_out
        mode = _mode_of(file, status, self._umask)
        if stamp != stamp_of(status) or stat.S_IMODE(status.st_mode) != mode:
            return False
        return self._manifest.is_untouched(path, status) or self._is_same(directory, name, path, file, status)

    def _is_same(self, directory: int, name: str, path: str, file: TreeFile, status: os.stat_result) -> bool:
        """Read a file that is too young to be believed, which costs a tenth of writing it again."""
        if file.mode not in {REGULAR, EXECUTABLE} or status.st_size > _READ_BACK_BYTES_MAX:
            return False
        content = self._read_content(file, path)
        return isinstance(content, bytes) and holds(name, status, content, stat.S_IMODE(status.st_mode), directory)

    def _is_private(self, directory: int, name: str, path: str, status: os.stat_result) -> bool:
        content = None if path in self._wanted else self._private.get(path)
        return content is not None and holds(name, status, content, _PRIVATE_MODE, directory)


def directories_of(paths: Iterable[str]) -> set[str]:
    """Give every directory that a path lies in, once each: a path whose directory is known tells nothing new."""
    found: set[str] = set()
    for path in paths:
        directory = path.rpartition("/")[0]
        while directory and directory not in found:
            found.add(directory)
            directory = directory.rpartition("/")[0]
    return found


def _make_usable(name: str, descriptor: int, umask: int) -> None:
    """Give a directory the mode a fresh one would have, whatever a run made of it."""
    mode = 0o777 & ~umask
    if stat.S_IMODE(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode) != mode:
        os.chmod(name, mode, dir_fd=descriptor)


def _mode_of(file: TreeFile, status: os.stat_result, umask: int) -> int:
    if stat.S_ISLNK(status.st_mode):
        return stat.S_IMODE(status.st_mode)
    return (0o777 if file.mode == EXECUTABLE else 0o666) & ~umask


def _umask() -> int:
    """Read the umask; it can only be read by setting it, and a worker runs one run at a time."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write(full: Path, file: TreeFile, path: str, read_content: ReadContent) -> Stamp:
    full.parent.mkdir(parents=True, exist_ok=True)
    if file.mode == SUBMODULE:
        full.mkdir(exist_ok=True)
    elif file.mode == LINK:
        target = read_content(file, path)
        assert isinstance(target, bytes)
        full.symlink_to(os.fsdecode(target))
    else:
        mode = 0o777 if file.mode == EXECUTABLE else 0o666
        descriptor = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            content = read_content(file, path)
            if isinstance(content, bytes):
                stream.write(content)
            else:
                with content.open("rb") as source:
                    shutil.copyfileobj(source, stream, _COPY_BYTES)
    return stamp_of(full.lstat())


def stamp_of(status: os.stat_result) -> Stamp:
    """Keep what tells whether a file was touched."""
    return Stamp(status.st_ino, status.st_size, status.st_mode, status.st_mtime_ns, status.st_ctime_ns)


def manifest_path(worktree: Path) -> Path:
    """Give the place of a worktree's manifest."""
    return worktree.with_name(f"{worktree.name}.manifest")


def _next_manifest_path(worktree: Path) -> Path:
    """Give the place of what is to be a worktree's manifest, and is none yet."""
    return worktree.with_name(f"{worktree.name}.tmp")


def _save_manifest(worktree: Path, files: Mapping[str, tuple[TreeFile, Stamp]]) -> Manifest:
    """Store a manifest; it needs no sync, since without one everything is checked out again."""
    manifest = Manifest(files=files, stamped_ns=time.time_ns())
    rows = [(os.fsencode(path), file.rev, file.mode, *stamp) for path, (file, stamp) in files.items()]
    temporary = _next_manifest_path(worktree)
    temporary.write_bytes(msgpack.packb([_MANIFEST_VERSION, manifest.stamped_ns, rows]))
    temporary.rename(manifest_path(worktree))
    return manifest


def load_manifest(worktree: Path) -> Manifest:
    """Read the manifest of a worktree; one that is missing or makes no sense is empty."""
    try:
        version, stamped_ns, rows = msgpack.unpackb(manifest_path(worktree).read_bytes())
        if version != _MANIFEST_VERSION:
            return EMPTY
        files = {
            os.fsdecode(path): (TreeFile(rev=rev, mode=mode), Stamp._make(stamp)) for path, rev, mode, *stamp in rows
        }
    except (OSError, ValueError, TypeError, IndexError, AttributeError, msgpack.UnpackException):
        return EMPTY
    return Manifest(files=files, stamped_ns=stamped_ns)
