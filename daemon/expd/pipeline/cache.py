"""The cache: objects named by the md5 of what they hold (dvc_data/hashfile/db).

Promise: an object is written under a temporary name, made read-only, synced and renamed, so none is ever seen half
written; a directory's manifest is stored after every file it lists. An object whose mode is not exactly 0444 is read
again before it is trusted, as DVC does, and removed if it is not what its name says.
"""

import os
import secrets
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

from expd.pipeline.durability import sync_file_system, sync_paths
from expd.pipeline.hashing import (
    Content,
    Manifest,
    hash_file,
    hash_legacy_file,
    manifest_from_bytes,
    no_checkpoint,
)
from expd.pipeline.links import (
    DEFAULT_LINK_TYPES,
    LinkType,
    StrPath,
    clone,
    place,
    place_anew,
    remove,
    temporary_beside,
)
from expd.pipeline.model import ChangedWhileReadError, Fingerprint, MissingObjectError, PipelineError
from expd.pipeline.sidebyside import LARGE_BYTES, Checkpoint, side_by_side

OBJECT_MODE = 0o444
_SYNCED_SINGLY = 16  # beyond that one sync of the file system is quicker than 2 ms a file
_BATCH_FILES = 16_384  # temporary files that may be waiting for a sync, and be left by a crash
_SHARED_DIRECTORY_MODE = 0o2775  # cache.shared=group: the group may add objects, and they stay the group's

_Object: TypeAlias = tuple[str, bool]
"""What names an object: the md5, and whether it lies in the DVC 2 part."""


class _Taken(NamedTuple):
    """A file on its way into the cache: from `source` by way of `temporary` to `target`."""

    source: StrPath
    temporary: str
    target: str
    fingerprint: Fingerprint


class Cache:
    """One cache directory, in DVC's layout."""

    def __init__(
        self,
        directory: Path,
        *,
        types: Sequence[LinkType] = DEFAULT_LINK_TYPES,
        shared: bool = False,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self.directory = directory
        self._prefix = str(directory)
        self.types = tuple(types)
        self.shared = shared
        self.checkpoint = checkpoint

    def location(self, md5: str, *, legacy: bool = False) -> Path:
        """Where the object is or would be; a manifest's md5 ends in `.dir`."""
        return Path(self._name(md5, legacy=legacy))

    def _name(self, md5: str, *, legacy: bool) -> str:
        """The same as a text: a directory has thousands of files, and a Path costs more than what is asked of it."""
        middle = "" if legacy else "/files/md5"
        return f"{self._prefix}{middle}/{md5[:2]}/{md5[2:]}"

    def has(self, fingerprint: Fingerprint) -> bool:
        """Whether everything that is needed to bring this content back is there and intact."""
        if not fingerprint.is_directory:
            return self._is_intact(fingerprint)
        return self._complete_manifest(fingerprint) is not None

    def _complete_manifest(self, fingerprint: Fingerprint) -> Manifest | None:
        """The manifest of a stored directory, if all that it lists is there and intact."""
        manifest = self._read_manifest(fingerprint) if self._is_intact(fingerprint) else None
        if manifest is None or not all(self._is_intact(entry.fingerprint) for entry in manifest.entries):
            return None
        return manifest

    def _is_intact(self, fingerprint: Fingerprint) -> bool:
        """Whether this one object is there and holds what its name says."""
        file = self._name(fingerprint.md5, legacy=fingerprint.legacy)
        try:
            mode = stat.S_IMODE(os.stat(file).st_mode)  # noqa: PTH116 - see _name
        except (FileNotFoundError, NotADirectoryError):
            return False
        return mode == OBJECT_MODE or self._verify(Path(file), fingerprint, mode)

    def _verify(self, file: Path, fingerprint: Fingerprint, mode: int) -> bool:
        hashed = hash_legacy_file if fingerprint.legacy and not fingerprint.is_directory else hash_file
        if hashed(str(file), self.checkpoint) != fingerprint.md5.removesuffix(".dir"):
            file.unlink(missing_ok=True)
            return False
        # A hard-linked executable output lends its object the executable bit; taking that away would break the output.
        if mode & 0o222:
            self._protect(file)
        return True

    def _protect(self, file: Path) -> None:
        try:
            file.chmod(OBJECT_MODE)
        except PermissionError:
            return  # in a shared cache the object may be another user's; it is only slower to use

    def manifest(self, fingerprint: Fingerprint) -> Manifest:
        """The manifest of a stored directory."""
        manifest = self._read_manifest(fingerprint)
        if manifest is None:
            raise self.missing(fingerprint)
        return manifest

    def _read_manifest(self, fingerprint: Fingerprint) -> Manifest | None:
        file = self.location(fingerprint.md5, legacy=fingerprint.legacy)
        try:
            manifest = manifest_from_bytes(file.read_bytes(), str(file))
        except FileNotFoundError:
            return None
        except PipelineError:
            return None
        return _as_legacy(manifest) if fingerprint.legacy else manifest

    def missing(self, fingerprint: Fingerprint, hint: str = "") -> MissingObjectError:
        """The error that names an object which should be here."""
        file = self.location(fingerprint.md5, legacy=fingerprint.legacy)
        return MissingObjectError(path=str(file), expected=f"the object {fingerprint.md5} in the cache", hint=hint)

    # Storing

    def store_files(self, files: Sequence[tuple[StrPath, Fingerprint]]) -> None:
        """Take copies of files that have just been hashed, except of those that are here already.

        ChangedWhileReadError if one was written to since; objects that were complete by then stay.
        """
        self._store_objects(_by_object(files))

    def _store_objects(self, by_object: Mapping[_Object, tuple[Fingerprint, StrPath]]) -> None:
        waiting = [item for item in by_object.values() if not self._is_intact(item[0])]
        changed: set[str] = set()
        for start in range(0, len(waiting), _BATCH_FILES):
            changed |= self._store_batch(waiting[start : start + _BATCH_FILES])
        self._sync_names(changed)

    def store_content(self, content: Content, location: Path) -> None:
        """Store what was found at `location`, a file or a directory with its manifest last."""
        self.store_contents([(content, location)])

    def store_contents(self, found: Sequence[tuple[Content, Path]]) -> None:
        """Store what was found at some locations, files and directories, their manifests last."""
        by_object: dict[_Object, tuple[Fingerprint, StrPath]] = {}
        for content, location in found:
            for key, file in _by_object(_files_of(content, location)).items():
                by_object.setdefault(key, file)  # what an earlier output holds as well comes from there, as with DVC
        self._store_objects(by_object)
        for content, _ in found:
            if content.manifest is not None:
                self.store_manifest(content.manifest, content.fingerprint)

    def store_manifest(self, manifest: Manifest, fingerprint: Fingerprint) -> None:
        """Store the manifest of a directory whose files have been stored, under its fingerprint."""
        if self._is_intact(fingerprint):
            return
        target = self.location(fingerprint.md5, legacy=fingerprint.legacy)
        self._prepare(target.parent)
        temporary = temporary_beside(target)
        try:
            temporary.write_bytes(manifest.to_bytes())
            temporary.chmod(OBJECT_MODE)
            self._sync_names(self._publish([(str(temporary), str(target))]))
        finally:
            temporary.unlink(missing_ok=True)

    def _store_batch(self, files: Sequence[tuple[Fingerprint, StrPath]]) -> set[str]:
        batch = self._plan_batch(files)
        large = [item for item in batch if (item.fingerprint.size or 0) >= LARGE_BYTES]
        try:
            for item in batch:
                if (item.fingerprint.size or 0) < LARGE_BYTES:
                    self._take(item, self.checkpoint)
                    self.checkpoint()
            side_by_side([partial(self._take, item) for item in large], self.checkpoint)
            directories = self._publish([(item.temporary, item.target) for item in batch])
            batch = []
            return directories
        finally:
            for item in batch:  # what has failed leaves nothing behind
                Path(item.temporary).unlink(missing_ok=True)

    def _plan_batch(self, files: Sequence[tuple[Fingerprint, StrPath]]) -> list["_Taken"]:
        """Say what is written where, and make the directories."""
        batch, prepared, token = list[_Taken](), set[str](), secrets.token_urlsafe(16)
        for number, (fingerprint, source) in enumerate(files):
            target = self._name(fingerprint.md5, legacy=fingerprint.legacy)
            parent = target.rpartition("/")[0]
            if parent not in prepared:
                self._prepare(Path(parent))
                prepared.add(parent)
            batch.append(_Taken(source, f"{parent}/.{token}{number}.tmp", target, fingerprint))
        return batch

    def _take(self, file: "_Taken", checkpoint: Checkpoint) -> None:
        """Make the temporary file hold what was hashed. With hard links it is the output itself: nothing is copied."""
        source, temporary, fingerprint = file.source, file.temporary, file.fingerprint
        _check_unchanged(source, fingerprint)
        adopts = self.types[0] == "hardlink" and fingerprint.size != 0 and not Path(source).is_symlink()
        if not adopts or not _link(source, temporary):
            clone(source, temporary, checkpoint)
            _check_unchanged(source, fingerprint)
        os.chmod(temporary, OBJECT_MODE)  # noqa: PTH101 - see _name

    def _publish(self, made: Sequence[tuple[str, str]]) -> set[str]:
        """Make complete temporary files objects: synced, then under their names; gives the directories."""
        if len(made) > _SYNCED_SINGLY:
            sync_file_system(self.directory)
        else:
            sync_paths(temporary for temporary, _ in made)
        for temporary, target in made:
            os.replace(temporary, target)  # noqa: PTH105 - see _name
        return {target.rpartition("/")[0] for _, target in made}

    def _sync_names(self, directories: Collection[str]) -> None:
        """Put the names of new objects on the disk: once for all of them, and before anything names them."""
        if len(directories) > _SYNCED_SINGLY:
            sync_file_system(self.directory)
        else:
            sync_paths(directories)

    def _prepare(self, directory: Path) -> None:
        """Create a directory of the cache, and those above it, with the mode that cache.shared asks for."""
        if directory.is_dir():
            return
        self._prepare(directory.parent)
        directory.mkdir(exist_ok=True)
        if self.shared:
            directory.chmod(_SHARED_DIRECTORY_MODE)

    def write_entry(self, target: Path, data: bytes) -> None:
        """Write a file that belongs to the cache but is no object (a run-cache entry), as a whole."""
        self._prepare(target.parent)
        temporary = temporary_beside(target)
        try:
            temporary.write_bytes(data)
            if self.shared:
                temporary.chmod(0o664)
            sync_paths([temporary])
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    # Bringing back

    def check_out(self, fingerprint: Fingerprint, target: Path, *, types: Sequence[LinkType] | None = None) -> None:
        """Put the content at `target`, in place of whatever is there; MissingObjectError before anything is touched."""
        if not self.bring(fingerprint, target, types=types):
            raise self.missing(fingerprint)

    def bring(self, fingerprint: Fingerprint, target: Path, *, types: Sequence[LinkType] | None = None) -> bool:
        """The same, but that it tells whether the content is here; nothing is touched if it is not."""
        if not fingerprint.is_directory:
            if not self._is_intact(fingerprint):
                return False
            self._check_out_file(fingerprint, target, types)
            return True
        manifest = self._complete_manifest(fingerprint)
        if manifest is None:
            return False
        remove(target)
        self._check_out_entries(manifest, str(target), types or self.types)
        return True

    def _check_out_entries(self, manifest: Manifest, target: str, types: Sequence[LinkType]) -> None:
        """Make a directory that is not there, with all that a manifest lists."""
        made = set[str]()
        os.makedirs(target)  # noqa: PTH103 - see _name
        for entry in manifest.entries:
            file, fingerprint = f"{target}/{entry.relpath}", entry.fingerprint
            parent = file.rpartition("/")[0]
            if parent not in made:
                os.makedirs(parent, exist_ok=True)  # noqa: PTH103 - see _name
                made.add(parent)
            place_anew(self._name(fingerprint.md5, legacy=fingerprint.legacy), file, types, self.checkpoint)
            self.checkpoint()

    def _check_out_file(self, fingerprint: Fingerprint, target: Path, types: Sequence[LinkType] | None) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir() and not target.is_symlink():
            remove(target)
        source = self.location(fingerprint.md5, legacy=fingerprint.legacy)
        place(source, target, types or self.types, self.checkpoint)
        if fingerprint.isexec:
            _make_executable(target)

    def relink(self, content: Content, target: Path, *, types: Sequence[LinkType] | None = None) -> None:
        """After storing: turn the files at `target` into the kind of link that is configured, where they are not.

        A file that is an output by itself gets the mode of a new file, as if it had been linked again, which is what DVC
        does; files in a directory keep theirs.
        """
        fingerprint, wanted = content.fingerprint, types or self.types
        if content.manifest is not None:
            for entry in content.manifest.entries:
                file = f"{target}/{entry.relpath}"
                source = self._name(entry.fingerprint.md5, legacy=entry.fingerprint.legacy)
                if _needs_relink(file, source, wanted):
                    place(Path(source), Path(file), wanted, self.checkpoint)
            return
        source = self._name(fingerprint.md5, legacy=fingerprint.legacy)
        # DVC links a single file anew whatever it is; for one that is and is to be a copy that only sets the mode.
        if _needs_relink(target, source, wanted[:1]) or _may_link_instead(wanted):
            place(Path(source), target, wanted, self.checkpoint)
        elif _is_copy(target):
            target.chmod(self._file_mode())
        if fingerprint.isexec:
            _make_executable(target)

    def _file_mode(self) -> int:
        return 0o664 if self.shared else 0o666 & ~_umask()

    def unprotect(self, target: Path) -> None:
        """Make what is at `target` writable and independent of the cache, as DVC does for outputs that persist."""
        files = [target] if not target.is_dir() else [file for file in target.rglob("*") if not file.is_dir()]
        for file in files:
            if file.is_symlink() or file.stat().st_nlink > 1:
                place(file.resolve(), file, DEFAULT_LINK_TYPES, self.checkpoint)
            file.chmod(self._file_mode())


def _files_of(content: Content, location: Path) -> Iterable[tuple[StrPath, Fingerprint]]:
    if content.manifest is None:
        return [(location, content.fingerprint)]
    return ((f"{location}/{entry.relpath}", entry.fingerprint) for entry in content.manifest.entries)


def _by_object(files: Iterable[tuple[StrPath, Fingerprint]]) -> dict[_Object, tuple[Fingerprint, StrPath]]:
    """One file for each object that they need: the last."""
    return {(fingerprint.md5, fingerprint.legacy): (fingerprint, source) for source, fingerprint in files}


def _as_legacy(manifest: Manifest) -> Manifest:
    """The files of a DVC 2 directory lie in the DVC 2 part of the cache."""
    return Manifest(
        tuple(
            type(entry)(entry.relpath, Fingerprint(md5=entry.fingerprint.md5, legacy=True))
            for entry in manifest.entries
        )
    )


def _link(source: StrPath, target: StrPath) -> bool:
    """Whether a hard link could be made."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _check_unchanged(source: StrPath, fingerprint: Fingerprint) -> None:
    """Refuse a file whose status changed after it was hashed: the object would not be what its name says."""
    if fingerprint.stamp is not None and os.stat(source).st_ctime_ns != fingerprint.stamp:  # noqa: PTH116 - see Cache._name
        raise ChangedWhileReadError(
            path=str(source), expected="a file that holds still", hint="something still writes to this output"
        )


def _make_executable(target: Path) -> None:
    if target.is_file():
        target.chmod(stat.S_IMODE(target.stat().st_mode) | stat.S_IXUSR)


def _needs_relink(file: StrPath, source: str, types: Sequence[LinkType]) -> bool:
    """DVC's rule (dvc_data/hashfile/checkout.py): the first configured kind that could be meant decides."""
    status = os.lstat(file)
    is_symlink = stat.S_ISLNK(status.st_mode)
    is_hardlink = not is_symlink and status.st_nlink > 1
    for kind in types:
        if kind in {"reflink", "copy"} and not (is_symlink or is_hardlink):
            return False
        if kind == "hardlink" and is_hardlink:
            return status.st_ino != Path(source).stat().st_ino
        if kind == "symlink" and is_symlink:
            return str(Path(file).readlink()) != source
    return True


def _may_link_instead(types: Sequence[LinkType]) -> bool:
    """Whether a file that can't be a reflink here would be a link of another kind: only trying tells."""
    return types[0] == "reflink" and len(types) > 1 and types[1] != "copy"


def _is_copy(file: Path) -> bool:
    """Whether it is a file of its own, no link of either kind."""
    status = file.lstat()
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _umask() -> int:
    """The process's mask, read without changing it (os.umask can only be read by setting it, which threads would see)."""
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
