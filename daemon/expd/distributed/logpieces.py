"""A run log on its way from one host to another: pieces with their places, since its middle may have been cut out.

A result's tree has the files `record` (the outcome), `log` (all that the log holds, without what was cut out), `places`
(JSON: where each piece of it belongs, as [offset, length]), `marks`, and `modules` (JSON: [path, commit] of each submodule
in which the run left something).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from expproto.errors import BAD_MESSAGE, RemoteProtocolError

RECORD, LOG, PLACES, MARKS, MODULES = "record", "log", "places", "marks", "modules"
"""The files of a result's tree."""
_LOG_BYTES_MAX = 2**40
"""Where a log can end that was cut: it says nothing of what is kept of it."""

Places = list[tuple[int, int]]


def next_data(path: Path, offset: int) -> int:
    """Give the first place from an offset on that is in no hole; the file's end if there is none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _seek(descriptor, offset, os.SEEK_DATA)
    finally:
        os.close(descriptor)


def read_pieces(path: Path) -> tuple[Places, bytes]:
    """Read a file without its holes: where each piece is, and all of them."""
    places, found = Places(), bytearray()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = os.fstat(descriptor).st_size
        for start, stop in _pieces(descriptor, end):
            data = os.pread(descriptor, stop - start, start)
            places.append((start, len(data)))
            found += data
    finally:
        os.close(descriptor)
    return places, bytes(found)


def _pieces(descriptor: int, end: int) -> Iterator[tuple[int, int]]:
    place = 0
    while (start := _seek(descriptor, place, os.SEEK_DATA)) < end:
        place = min(end, _seek(descriptor, start, os.SEEK_HOLE))
        yield start, place


def _seek(descriptor: int, offset: int, whence: int) -> int:
    try:
        return os.lseek(descriptor, offset, whence)
    except OSError:  # ENXIO: there is nothing but a hole up to the end, or the end itself
        return os.fstat(descriptor).st_size


def places_from(document: bytes, size: int) -> Places:
    """Read the places of pieces of so many bytes altogether; raises RemoteProtocolError."""
    try:
        value: object = json.loads(document)
    except (ValueError, RecursionError):
        value = None
    places = Places()
    for item in value if isinstance(value, list) else [None]:
        match item:
            case [int() as offset, int() as length] if 0 <= offset <= _LOG_BYTES_MAX and length >= 0:
                places.append((offset, length))
            case _:
                raise RemoteProtocolError(BAD_MESSAGE, "a result whose log has no places")
    if sum(length for _offset, length in places) != size:
        raise RemoteProtocolError(BAD_MESSAGE, "a result whose log has other places than pieces")
    return places


def put(path: Path, offset: int, data: bytes) -> None:
    """Write what a file lacks of a piece: what is there already stays, whoever sent it twice. Mode 0600."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        known = max(0, os.fstat(descriptor).st_size - offset)
        os.pwrite(descriptor, data[known:], offset + known)
    finally:
        os.close(descriptor)


def complete(path: Path, places: Places, data: bytes) -> bool:
    """Make a file hold these pieces and end with them; False if it held something else in one of their places."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    was_equal = True
    try:
        begin = 0
        for offset, length in places:
            piece = data[begin : begin + length]
            known = os.pread(descriptor, length, offset)
            was_equal = was_equal and piece.startswith(known)
            if known != piece:
                os.pwrite(descriptor, piece, offset)
            begin += length
        os.ftruncate(descriptor, max((offset + length for offset, length in places), default=0))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return was_equal
