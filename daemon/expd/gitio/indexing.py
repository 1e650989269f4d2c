"""Packs that have lost their index: it is computed again from the pack, as `git index-pack` does.

`git gc` removes an index of which it saw no pack; one that is made while it lists the packs may look like that to it.
"""

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

from expd.gitio.objectfiles import put_object_files
from expd.gitio.packing import CODES, Place, index_bytes, new_object
from expd.linux.durable import sync_directory

_KINDS = {code: kind for kind, code in CODES.items()}
_HEADER_BYTES, _CHECKSUM_BYTES = 12, 20
_SLACK_BYTES = 64
"""What deflate may add to data that can't be compressed, beside a thousandth of it (zlib.h, deflateBound)."""

_PACK_BYTES_MAX = 1 << 28


class CannotIndex(Exception):
    """A pack is not whole, or not one of ours: they hold no deltas."""


def index_again(objects_directory: Path) -> list[Path]:
    """Give each pack without an index its own; those of others and those that are damaged stay as they are. Raises OSError."""
    directory, found = objects_directory / "pack", list[Path]()
    for pack in sorted(directory.glob("pack-*.pack")):
        index = pack.with_suffix(".idx")
        if index.exists() or _is_too_large(pack):
            continue
        try:
            put_object_files("tmp_idx_", {index: index_of(pack.read_bytes())})
        except (CannotIndex, FileNotFoundError):  # the pack may be gone since it was listed
            continue
        found.append(pack)
    if found:
        sync_directory(directory)
    return found


def _is_too_large(pack: Path) -> bool:
    """Ours are small; a large one is most likely coming in from elsewhere just now."""
    try:
        return pack.stat().st_size > _PACK_BYTES_MAX
    except FileNotFoundError:
        return True


def index_of(pack: bytes) -> bytes:
    """Compute the index of a pack whose objects are all whole (gitformat-pack(5), version 2); raises CannotIndex."""
    body, checksum = pack[:-_CHECKSUM_BYTES], pack[-_CHECKSUM_BYTES:]
    if body[:8] != b"PACK" + (2).to_bytes(4, "big") or hashlib.sha1(body).digest() != checksum:  # noqa: S324 - the format's own
        raise CannotIndex
    return index_bytes(sorted(_places(body)), checksum)


def _places(body: bytes) -> Iterator[Place]:
    at = _HEADER_BYTES
    for _ in range(int.from_bytes(body[8:_HEADER_BYTES], "big")):
        begin = at
        code, size, at = _entry_header(body, at)
        if code not in _KINDS:
            raise CannotIndex
        inflating, end = zlib.decompressobj(), at + size + size // 1000 + _SLACK_BYTES
        try:
            data = inflating.decompress(body[at:end], size + 1)
        except zlib.error as error:
            raise CannotIndex from error
        if len(data) != size or not inflating.eof:
            raise CannotIndex
        at = min(end, len(body)) - len(inflating.unused_data)
        yield new_object(_KINDS[code], data).id, zlib.crc32(body[begin:at]), begin


def _entry_header(body: bytes, at: int) -> tuple[int, int, int]:
    """Read kind, size, and where what is compressed begins."""
    try:
        byte = body[at]
        code, size, shift = byte >> 4 & 7, byte & 0x0F, 4
        while byte & 0x80:
            at += 1
            byte = body[at]
            size |= (byte & 0x7F) << shift
            shift += 7
    except IndexError as error:
        raise CannotIndex from error
    return code, size, at + 1
