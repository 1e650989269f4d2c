"""A private worktree that is used again and again, and always holds what a fresh checkout would, byte for byte.

libgit2's forced checkout writes through a symbolic link that an earlier run left in place of a directory, outside the
worktree. So the slot is swept first, by directory descriptors that never follow a link: whatever is not exactly what
was checked out there, and wanted again, is removed; only then is anything written.

What was checked out, the manifest says. Where it names the tree that it came from, the next one is not listed, but
compared with that. Files stamped in the same instant as the manifest are never believed unchanged: they are read, and
stay if they hold what would be written.
"""

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from expd.execute.linked import Linked, load_linked, retain, usable
from expd.execute.manifest import (
    Manifest,
    Stamp,
    load_manifest,
    manifest_path,
    retire_manifest,
    row_of,
    save_manifest,
    stamp_of,
    with_rows,
)
from expd.gitio.repository import EXECUTABLE, LINK, REGULAR, SUBMODULE, TreeFile
from expd.gitio.slot import Directories
from expd.gitio.slots import ReadContent, Wanted, gives_attributes

_PRIVATE_MODE = 0o600
_GIT = ".git"

EMPTY_MAP: Mapping[str, bytes] = MappingProxyType({})

_COPY_BYTES = 1 << 24
_READ_BACK_BYTES_MAX = 1 << 20
"""A young file that is larger is written again and not compared: it would be in memory twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedChanges:
    """What a run did to the files that were checked out."""

    touched: tuple[str, ...]
    """There, and perhaps changed."""
    deleted: tuple[str, ...]


def check_out(
    worktree: Path,
    wanted: Wanted,
    private: Mapping[str, bytes] = EMPTY_MAP,
    data_terms: Callable[[], str | None] = lambda: None,
) -> Manifest:
    """Make a worktree hold exactly the wanted files; gives the new manifest, which is stored beside it.

    A `private` file, with mode 0600, may stay beside them where it holds just these bytes; and so may data that an
    earlier run had linked there on the terms that are given, where it stands untouched.
    """
    make_slot(worktree)
    manifest, umask = load_manifest(worktree), _umask()
    retire_manifest(worktree)
    plan = _compared(manifest, wanted, umask) or _listed(manifest, wanted, umask)
    read_content = wanted.reader(plan.has_attributes)
    linked = load_linked(worktree)
    if linked:
        files = {path: manifest.file_at(number) for path, number in plan.known.items()}
        plan = replace(plan, linked=usable(linked, {**files, **plan.missing}, data_terms()))
    sweep = _Sweep(manifest, plan, umask, read_content, private)
    kept = sweep.run(worktree)
    if sweep.linked.keys() != linked.keys():
        retain(worktree, sweep.linked)
    gone = {path: manifest.file_at(number) for path, number in plan.known.items() if not kept[number]}
    # Attributes first: those of a name that is no UTF-8 are read from the worktree alone.
    lacking = sorted({**plan.missing, **gone}.items(), key=lambda item: not gives_attributes(item[0]))
    written = {path: row_of(file, _write(worktree / path, file, path, read_content)) for path, file in lacking}
    paths, rows = with_rows(manifest, plan.unwanted, written)
    made = Manifest(
        paths=paths,
        rows=rows,
        stamped_ns=time.time_ns(),
        directories=plan.directories,
        umask=umask,
        terms=wanted.terms,
        has_attributes=plan.has_attributes,
        tree=wanted.tree,
    )
    save_manifest(worktree, made)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a worktree is to hold, as far as a manifest has it, and beyond."""

    known: Mapping[str, int]
    """The files that may stay: their rows in the manifest."""
    missing: Mapping[str, TreeFile]
    """The files that are to be written in any case."""
    unwanted: AbstractSet[str]
    """The files of the manifest that are not wanted at all."""
    directories: AbstractSet[str]
    has_attributes: bool
    """Whether a wanted file gives attributes to others."""
    linked: Mapping[str, Linked] = field(default_factory=dict)
    """Data that may stay."""


def _compared(manifest: Manifest, wanted: Wanted, umask: int) -> _Plan | None:
    """Start from the tree that is there, without listing the wanted one; None where that can't be done."""
    if manifest.tree is None or (manifest.umask, manifest.terms) != (umask, wanted.terms):
        return None
    differences = wanted.differences(manifest.tree)
    if differences is None or any(map(gives_attributes, differences)):
        return None
    missing = {path: file for path, file in differences.items() if file is not None}
    known = dict(manifest.paths)
    for path in differences:
        known.pop(path, None)
    unwanted = differences.keys() - missing.keys()
    return _Plan(
        known=known,
        missing=missing,
        unwanted=unwanted,
        directories=directories_of([*known, *missing]) if unwanted else manifest.directories | directories_of(missing),
        has_attributes=manifest.has_attributes,
    )


def _listed(manifest: Manifest, wanted: Wanted, umask: int) -> _Plan:
    """List what is wanted, and compare it with what is there file by file.

    Nothing is believed of what was written on other terms: the same object may have other bytes then.
    """
    files, there = wanted.files(), dict(manifest.files())
    attributes = {path: file for path, file in files.items() if gives_attributes(path)}
    has_same_terms = (manifest.umask, manifest.terms) == (umask, wanted.terms)
    if not has_same_terms or attributes != {path: file for path, file in there.items() if gives_attributes(path)}:
        there = {}
    known = {path: manifest.paths[path] for path, file in there.items() if files.get(path) == file}
    return _Plan(
        known=known,
        missing={path: file for path, file in files.items() if path not in known},
        unwanted=manifest.paths.keys() - files.keys(),
        directories=directories_of(files),
        has_attributes=bool(attributes),
    )


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
    for path in manifest.paths:
        if path.endswith(f"/{_GIT}"):
            continue
        status = status_at(worktree, path, directories)
        is_directory = status is not None and stat.S_ISDIR(status.st_mode)
        if status is None or (is_directory and not manifest.is_submodule(path)):
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
        return os.lstat(f"{worktree}/{path}")  # a Path costs more than the call, and there may be 100,000
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
    return path in manifest.paths and (not is_directory or manifest.is_submodule(path))


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
        self, manifest: Manifest, plan: _Plan, umask: int, read_content: ReadContent, private: Mapping[str, bytes]
    ) -> None:
        self.linked: dict[str, Linked] = {}
        self._kept = bytearray(len(manifest.paths))
        self._manifest = manifest
        self._plan = plan
        self._stamps = manifest.stamps()
        self._read_content = read_content
        self._private = private
        self._umask = umask

    def run(self, worktree: Path) -> bytearray:
        """Walk; tells by a 1 which rows of the manifest are still true."""
        descriptor = os.open(worktree, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._directory(descriptor, "")
        finally:
            os.close(descriptor)
        return self._kept

    def _directory(self, descriptor: int, prefix: str) -> None:
        """Look at what is in one directory; written without a call for each file, of which there may be 100,000."""
        with os.scandir(descriptor) as entries:
            listed = list(entries)
        known, stamps, kept, believed_ns = self._plan.known, self._stamps, self._kept, self._manifest.believed_ns
        for entry in listed:
            path = prefix + entry.name
            if path == _GIT:
                continue
            if entry.is_dir(follow_symlinks=False):
                self._enter(descriptor, entry.name, path)
                continue
            number = known.get(path)
            if number is not None:
                status = entry.stat(follow_symlinks=False)
                ctime_ns = status.st_ctime_ns
                stamp = (status.st_ino, status.st_size, status.st_mode, status.st_mtime_ns, ctime_ns)
                if stamps[number] == stamp and (ctime_ns < believed_ns or self._is_same(descriptor, path, status)):
                    kept[number] = 1
                    continue
            elif self._is_private(descriptor, path, entry):
                continue
            os.unlink(entry.name, dir_fd=descriptor)

    def _is_same(self, directory: int, path: str, status: os.stat_result) -> bool:
        """Read a file that is too young to be believed, which costs a tenth of writing it again."""
        file = self._manifest.file_at(self._plan.known[path])
        if file.mode not in {REGULAR, EXECUTABLE} or status.st_size > _READ_BACK_BYTES_MAX:
            return False
        content, name = self._read_content(file, path), path.rpartition("/")[2]
        return isinstance(content, bytes) and holds(name, status, content, stat.S_IMODE(status.st_mode), directory)

    def _is_private(self, directory: int, path: str, entry: os.DirEntry[str]) -> bool:
        content = None if path in self._plan.missing else self._private.get(path)
        if content is None:
            return False
        return holds(entry.name, entry.stat(follow_symlinks=False), content, _PRIVATE_MODE, directory)

    def _enter(self, descriptor: int, name: str, path: str) -> None:
        if path not in self._plan.directories:
            linked = self._plan.linked.get(path)
            if linked is not None and linked.is_whole(name, descriptor, self._umask):
                self.linked[path] = linked
            else:
                _remove_directory(descriptor, name)
            return
        _make_usable(name, descriptor, self._umask)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
        try:
            self._directory(below, path + "/")
        finally:
            os.close(below)


def _remove_directory(descriptor: int, name: str) -> None:
    """Remove a directory with all that is in it; the empty place of a submodule is made again."""
    try:
        shutil.rmtree(name, dir_fd=descriptor)
    except FileNotFoundError:
        return
    except PermissionError:
        remove_tree(Path(f"/proc/self/fd/{descriptor}") / name)


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
