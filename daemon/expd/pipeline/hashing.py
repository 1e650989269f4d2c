"""Hashes of files and directories, exactly as DVC makes them (dvc_data/hashfile/build.py, tree.py).

Promise: constant memory; a checkpoint is called every few megabytes, so that a cancel is noticed inside a huge file;
whatever it raises passes through. A directory is the md5 of its manifest: every file below it that is not ignored,
sorted by path, links to directories left out.
"""

import hashlib
import json
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from expd.pipeline.dvcignore import IGNORE_FILE, DvcIgnore
from expd.pipeline.memo import HashMemo, key_of
from expd.pipeline.model import Fingerprint, PipelineError
from expd.pipeline.sidebyside import LARGE_BYTES, Checkpoint, side_by_side

CHUNK_BYTES = 1 << 20  # what DVC reads at a time; more does not make md5 faster
_READ_BYTES_MIN = 4096  # of a file that was empty when it was opened, and grows
_TEXT_PROBE_BYTES = 512  # DVC 2 decided by the first 512 bytes of a chunk whether it is text
_TEXT_CHARACTERS = bytes(range(32, 127)) + b"\n\r\t\f\b"


def no_checkpoint() -> None:
    """The checkpoint of a caller who never cancels."""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One file of a directory: its path below it, with slashes, and what it holds."""

    relpath: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a directory, sorted by path."""

    entries: tuple[ManifestEntry, ...]

    def to_bytes(self) -> bytes:
        """The text that DVC hashes and stores as `<md5>.dir`: JSON with sorted keys, ASCII only."""
        listing = [{"md5": entry.fingerprint.md5, "relpath": entry.relpath} for entry in self.entries]
        return json.dumps(listing, sort_keys=True).encode()

    def fingerprint(self) -> Fingerprint:
        """The hash of the directory, its bytes and its number of files."""
        digest = hashlib.md5(self.to_bytes(), usedforsecurity=False).hexdigest()
        size = sum(entry.fingerprint.size or 0 for entry in self.entries)
        legacy = any(entry.fingerprint.legacy for entry in self.entries)
        return Fingerprint(md5=f"{digest}.dir", size=size, nfiles=len(self.entries), legacy=legacy)


@dataclass(frozen=True, slots=True)
class Content:
    """What was found at a location: its fingerprint, and the manifest if it is a directory."""

    fingerprint: Fingerprint
    manifest: Manifest | None = None


class Hasher:
    """Hashes what lies in one project."""

    def __init__(
        self, *, ignore: DvcIgnore | None = None, memo: HashMemo | None = None, checkpoint: Checkpoint = no_checkpoint
    ) -> None:
        self._ignore = ignore
        self._memo = HashMemo() if memo is None else memo
        self.checkpoint = checkpoint

    @property
    def memo(self) -> HashMemo:
        """The hashes already known."""
        return self._memo

    def content(self, location: str, *, legacy: bool = False) -> Content | None:
        """What the file or directory at `location` holds, or None if nothing is there (a broken link is nothing)."""
        try:
            status = Path(location).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(status.st_mode):
            manifest = self.manifest(location, legacy=legacy)
            return Content(manifest.fingerprint(), manifest)
        return Content(self.file(location, status, legacy=legacy))

    def file(
        self, location: str, status: os.stat_result, *, legacy: bool = False, checkpoint: Checkpoint | None = None
    ) -> Fingerprint:
        """The fingerprint of the regular file at `location`, whose status has just been read."""
        checkpoint = checkpoint or self.checkpoint
        if not stat.S_ISREG(status.st_mode):
            raise PipelineError(path=location, expected="a regular file or a directory")
        md5 = hash_legacy_file(location, checkpoint) if legacy else self._md5(location, status, checkpoint)
        return Fingerprint(
            md5=md5,
            size=status.st_size,
            isexec=bool(status.st_mode & 0o111),
            legacy=legacy,
            stamp=status.st_ctime_ns,
        )

    def _md5(self, location: str, status: os.stat_result, checkpoint: Checkpoint) -> str:
        key = key_of(location, status)
        known = self._memo.get(key)
        if known is not None:
            return known
        began_ns = self._memo.now_ns()
        md5 = hash_file(location, checkpoint)
        self._memo.put(key, md5, began_ns)
        return md5

    def manifest(self, location: str, *, legacy: bool = False) -> Manifest:
        """The manifest of the directory at `location`."""
        found = self.files(self._files(location), legacy=legacy)
        return Manifest(tuple(ManifestEntry(file[len(location) + 1 :], found[file]) for file in sorted(found)))

    def files(self, locations: Iterable[str], *, legacy: bool = False) -> dict[str, Fingerprint]:
        """The fingerprints of regular files; large ones are hashed several at once."""
        found: dict[str, Fingerprint] = {}
        large: list[tuple[str, os.stat_result]] = []
        for file in locations:
            status = _status(file)
            if status.st_size >= LARGE_BYTES:
                large.append((file, status))
            else:
                found[file] = self.file(file, status, legacy=legacy)
        tasks = [partial(self._task, file, status, legacy) for file, status in large]
        found.update(zip((file for file, _ in large), side_by_side(tasks, self.checkpoint), strict=True))
        return found

    def _task(self, location: str, status: os.stat_result, legacy: bool, checkpoint: Checkpoint) -> Fingerprint:  # noqa: FBT001 - for partial
        return self.file(location, status, legacy=legacy, checkpoint=checkpoint)

    def _files(self, location: str) -> Iterator[str]:
        """Every file below `location` that counts; links to files count, links to directories do not."""
        waiting = [location]
        while waiting:
            directory = waiting.pop()
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir():
                        if not entry.is_symlink() and not self._ignores(entry.path, is_directory=True):
                            waiting.append(entry.path)
                    elif not self._ignores(entry.path, is_directory=False):
                        yield self._countable(entry)

    def _countable(self, entry: os.DirEntry[str]) -> str:
        """The path of the entry; DVC refuses to track a directory that brings ignore rules of its own."""
        if entry.name == IGNORE_FILE:
            raise PipelineError(
                path=entry.path, expected="no .dvcignore inside a tracked directory", hint="move it to a parent"
            )
        return entry.path

    def _ignores(self, location: str, *, is_directory: bool) -> bool:
        return self._ignore is not None and self._ignore.ignores(location, is_directory=is_directory)


def _status(location: str) -> os.stat_result:
    try:
        return os.stat(location)  # noqa: PTH116 - a Path costs more than the call, and there are many
    except FileNotFoundError as error:
        raise PipelineError(path=location, expected="a file, not a link to nothing or a file that vanishes") from error


def hash_file(location: str, checkpoint: Checkpoint = no_checkpoint) -> str:
    """The md5 of a file's bytes, in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in _chunks(location, checkpoint):
        digest.update(chunk)
    return digest.hexdigest()


def hash_legacy_file(location: str, checkpoint: Checkpoint = no_checkpoint) -> str:
    """The hash of DVC 2, `md5-dos2unix`: CRLF counts as LF in every chunk that looks like text."""
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in _chunks(location, checkpoint):
        digest.update(chunk.replace(b"\r\n", b"\n") if _is_text(chunk[:_TEXT_PROBE_BYTES]) else chunk)
    return digest.hexdigest()


def _chunks(location: str, checkpoint: Checkpoint) -> Iterator[bytes]:
    """Read a file; a small one in one read, which shows its end as well, and into no more memory than it needs."""
    descriptor = os.open(location, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        wanted = min(max(size + 1, _READ_BYTES_MIN), CHUNK_BYTES)
        while chunk := os.read(descriptor, wanted):
            yield chunk
            checkpoint()
            if len(chunk) == size < wanted:
                return
    finally:
        os.close(descriptor)


def _is_text(block: bytes) -> bool:
    """DVC's guess (dvc_data/hashfile/istextfile.py): no NUL, and at most three characters in ten unprintable."""
    if not block:
        return True
    if b"\x00" in block:
        return False
    return len(block.translate(None, _TEXT_CHARACTERS)) / len(block) <= 0.30


def manifest_from_bytes(data: bytes, location: str) -> Manifest:
    """Read back a stored manifest; `location` is named when it is broken."""
    try:
        listing: object = json.loads(data)
    except ValueError as error:
        raise PipelineError(path=location, expected="a directory manifest in JSON") from error
    if not isinstance(listing, list):
        raise PipelineError(path=location, expected="a directory manifest in JSON")
    return Manifest(tuple(_entry_from(item, location) for item in listing))


def _entry_from(item: object, location: str) -> ManifestEntry:
    if isinstance(item, dict):
        md5, relpath = item.get("md5"), item.get("relpath")
        if isinstance(md5, str) and isinstance(relpath, str) and _is_inside(relpath):
            return ManifestEntry(relpath, Fingerprint(md5=md5))
    raise PipelineError(path=location, expected="entries with md5 and a relpath that stays inside the directory")


def _is_inside(relpath: str) -> bool:
    """Whether a path of a manifest, which may come from anywhere, stays below its directory."""
    return not posixpath.isabs(relpath) and ".." not in relpath.split("/") and relpath not in {"", "."}
