"""Many new objects as one pack: three waits for the disk whatever it holds, where a loose object is two.

Formats: git's Documentation/gitformat-pack, version 2 of both files; every object whole, none as a delta.
"""

import hashlib
import socket
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from expd.gitio.objectfiles import put_object_files
from expd.linux.durable import sync_directory
from expd.linux.holders import has_open
from expproto.vocabulary import Rev

Kind = Literal["commit", "tree", "blob"]
CODES: dict[Kind, int] = {"commit": 1, "tree": 2, "blob": 3}
Place = tuple[bytes, int, int]
"""Of an object in a pack: the 20 bytes of its id, the CRC-32 of its entry, and where that begins."""
_OFFSET_MAX = 2**31 - 1
"""Beyond it an index needs its second table; what is written together is far smaller."""
_KEPT_BY = b"expd: until its ref stands\n"
_KEPT_SECONDS = 3600.0
_LISTING_SECONDS_MAX, _LISTING_LOOK_SECONDS = 10.0, 0.002
_COLLECTION_SECONDS_MAX = 12 * 3600.0
"""As git's builtin/gc.c has it."""


@dataclass(frozen=True, slots=True)
class NewObject:
    """An object that is not written yet; `id` are the 20 bytes of its SHA-1."""

    id: bytes
    kind: Kind
    data: bytes


def new_object(kind: Kind, data: bytes) -> NewObject:
    """Give an object with the id that Git gives it."""
    return NewObject(hashlib.sha1(b"%b %d\0" % (kind.encode(), len(data)) + data).digest(), kind, data)  # noqa: S324


def blob_rev(data: bytes) -> Rev:
    """Give the rev that Git gives a blob of these bytes."""
    return Rev(new_object("blob", data).id.hex())


def write_pack(objects_directory: Path, objects: Sequence[NewObject], *, is_kept: bool = False) -> None:
    """Put objects on the disk as one pack, found by whoever looks from then on; raises OSError.

    The index is renamed last, since a pack without one is not looked at. What a crash leaves has a name that `git gc`
    removes. `git repack` lists packs by their `.pack`, and removes what it listed and could not look into: so each is
    marked `.keep` (git-repack(1)) before it has one; a kept one stays so for an hour, in which it gets its ref. `git gc`
    removes an index of which it saw no pack: so the index comes when nobody lists the packs who began before the pack was there.
    """
    pack, index = pack_and_index(objects)
    directory = objects_directory / "pack"
    directory.mkdir(exist_ok=True)
    name = f"pack-{pack[-20:].hex()}"
    mark = directory / f"{name}.keep"
    if is_kept:
        let_packs_go(objects_directory)
    mark.write_bytes(_KEPT_BY)
    put_object_files("tmp_pack_", {directory / f"{name}.pack": pack})
    _outlast_listing(objects_directory.parent, directory)
    put_object_files("tmp_idx_", {directory / f"{name}.idx": index})
    if not is_kept:
        mark.unlink(missing_ok=True)
    sync_directory(directory)


def _outlast_listing(common_directory: Path, packs: Path) -> None:
    """Wait while a `git gc` reads the names of packs (builtin/gc.c, clean_pack_garbage); whoever begins later sees all that are there.

    It is one directory: milliseconds. One that is stopped in the middle of it is not waited for for ever.
    """
    deadline = time.monotonic() + _LISTING_SECONDS_MAX
    while (collector := _collector(common_directory)) is not None and has_open(collector, packs):
        if time.monotonic() > deadline:
            return
        time.sleep(_LISTING_LOOK_SECONDS)


def _collector(common_directory: Path) -> int | None:
    """Give the process that collects garbage here, by `gc.pid`: its number, and the name of its host."""
    try:
        pid, host = (common_directory / "gc.pid").read_text(encoding="utf-8", errors="replace").split()
        return int(pid) if host == socket.gethostname() else None
    except (OSError, ValueError):
        return None


def let_packs_go(objects_directory: Path) -> None:
    """Keep no longer what we kept long ago: it has its ref, or nobody wants it; the next collection may repack it."""
    marks = list[Path]()
    with suppress(OSError):
        marks = list((objects_directory / "pack").glob("pack-*.keep"))
    for mark in marks:
        with suppress(OSError):
            if mark.read_bytes() == _KEPT_BY and time.time() - mark.stat().st_mtime > _KEPT_SECONDS:
                mark.unlink()


def pack_and_index(objects: Sequence[NewObject]) -> tuple[bytes, bytes]:
    """Give the bytes of a pack and of its index; no object may be there twice."""
    parts = [b"PACK" + (2).to_bytes(4, "big") + len(objects).to_bytes(4, "big")]
    at, places = len(parts[0]), list[Place]()
    for each in objects:
        entry = _entry_header(CODES[each.kind], len(each.data)) + zlib.compress(each.data)
        places.append((each.id, zlib.crc32(entry), at))
        parts.append(entry)
        at += len(entry)
    if at > _OFFSET_MAX:
        raise ValueError("too much for one pack")
    body = b"".join(parts)
    checksum = hashlib.sha1(body).digest()  # noqa: S324 - the format's own
    return body + checksum, index_bytes(sorted(places), checksum)


def _entry_header(code: int, size: int) -> bytes:
    """Give kind and size: four bits in the first byte, seven in each that follows."""
    byte, size = code << 4 | size & 0x0F, size >> 4
    header = bytearray()
    while size:
        header.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    header.append(byte)
    return bytes(header)


def index_bytes(places: Sequence[Place], pack_checksum: bytes) -> bytes:
    """Give the bytes of an index; what it is of comes in the order of ids."""
    counts = [0] * 256
    for each, _crc, _at in places:
        counts[each[0]] += 1
    fanout, total = list[bytes](), 0
    for count in counts:
        total += count
        fanout.append(total.to_bytes(4, "big"))
    body = b"".join([
        b"\xfftOc" + (2).to_bytes(4, "big"),
        *fanout,
        *(each for each, _crc, _at in places),
        *(crc.to_bytes(4, "big") for _id, crc, _at in places),
        *(at.to_bytes(4, "big") for _id, _crc, at in places),
        pack_checksum,
    ])  # fmt: skip
    return body + hashlib.sha1(body).digest()  # noqa: S324 - the format's own


def is_collecting(common_directory: Path) -> bool:
    """Tell whether a `git gc` is under way: by `gc.pid`, which one that was killed leaves, and Git heeds for twelve hours."""
    try:
        return time.time() - (common_directory / "gc.pid").stat().st_mtime < _COLLECTION_SECONDS_MAX
    except OSError:
        return False
