"""Git LFS without its program: pointers (spec v1) and the store that the program has beside a repository.

A pointer is a small text in Git that names content by SHA-256; the content lies in `lfs/objects/<2>/<2>/<sha256>` of
the Git directory. https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from expd.gitio.errors import GitFailed
from expd.gitio.repository import Repository

DRIVER = "lfs"
"""The name of its filter in .gitattributes."""
_POINTER_BYTES_MAX = 1024
"""As the specification has it: what is longer is content."""
_VERSIONS = ("https://git-lfs.github.com/spec/v1", "https://hawser.github.com/spec/v1")
_OID = re.compile("sha256:([0-9a-f]{64})")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """Content by its SHA-256 and bytes."""

    oid: str
    size: int

    def text(self) -> bytes:
        """Give the bytes that Git holds."""
        return f"version {_VERSIONS[0]}\noid sha256:{self.oid}\nsize {self.size}\n".encode()


def parse_pointer(data: bytes) -> Pointer | None:
    """Read a pointer; None if this is content, or a pointer with extensions, whose content is not that of the file."""
    if len(data) >= _POINTER_BYTES_MAX or not data.endswith(b"\n"):
        return None
    lines = data.decode("utf-8", "replace").splitlines()
    fields = dict(line.partition(" ")[::2] for line in lines)
    oid, size = _OID.fullmatch(fields.get("oid", "")), fields.get("size", "")
    if list(fields) != ["version", "oid", "size"] or fields["version"] not in _VERSIONS or oid is None:
        return None
    return Pointer(oid=oid[1], size=int(size)) if size.isascii() and size.isdigit() else None


class LfsStore:
    """The contents that a repository has here."""

    def __init__(self, repository: Repository) -> None:
        common = repository.common_directory
        self._directory = common / (repository.setting("lfs.storage") or "lfs")

    def find(self, pointer: Pointer) -> Path | None:
        """Give the file with a pointer's content; None if it is not here."""
        place = self._place(pointer)
        try:
            return place if place.stat().st_size == pointer.size else None
        except OSError:
            return None

    def keep(self, source: Path) -> bytes:
        """Store a file's content and give its pointer; a pointer is itself, and so is an empty file.

        Raises OSError, or GitFailed for a file that changes meanwhile.
        """
        with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
            head = stream.read(_POINTER_BYTES_MAX)
            if not head or parse_pointer(head) is not None:
                return head
            pointer = _copy(stream, None)
            if self.find(pointer) is None:
                self._store(stream, pointer, source)
        return pointer.text()

    def _store(self, stream: BinaryIO, pointer: Pointer, source: Path) -> None:
        """Put content where it belongs, whole or not at all, and on the disk."""
        temporary = self._directory / "tmp" / f"expd-{secrets.token_hex(8)}"
        place = self._place(pointer)
        temporary.parent.mkdir(parents=True, exist_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as target:
                found = _copy(stream, target)
                target.flush()
                os.fsync(target.fileno())
            if found != pointer:
                raise GitFailed(f"{source.name} changed while it was read")
            temporary.rename(place)
        finally:
            temporary.unlink(missing_ok=True)

    def _place(self, pointer: Pointer) -> Path:
        return self._directory / "objects" / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid


def _copy(source: BinaryIO, target: BinaryIO | None) -> Pointer:
    """Read a stream from its beginning, and write it to another if there is one."""
    digest, size = hashlib.sha256(), 0
    source.seek(0)
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if target is not None:
            target.write(chunk)
    return Pointer(oid=digest.hexdigest(), size=size)
