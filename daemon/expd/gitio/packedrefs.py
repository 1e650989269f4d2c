"""The file of packed refs (gitrepository-layout(5)): a line a ref, and below a tag's the object it peels to, after a `^`."""

import os
import re
from pathlib import Path

PACKED = "packed-refs"


def packed_refs(common_directory: Path) -> bytes:
    """Read the file; nothing where it is not there."""
    try:
        return (common_directory / PACKED).read_bytes()
    except FileNotFoundError:
        return b""


def is_packed(packed: bytes, ref: str) -> bool:
    """Tell whether a ref has its line."""
    return f" {ref}\n".encode() in packed


def has_packed_below(packed: bytes, ref: str) -> bool:
    """Tell whether there is a ref that has this one for a directory."""
    return f" {ref}/".encode() in packed


def packed_names(packed: bytes, prefix: str) -> set[str]:
    """Give the last parts of the refs right below a prefix."""
    return {
        os.fsdecode(match[1])
        for match in re.finditer(rb" %s([^/\n]+)$" % re.escape(prefix.encode()), packed, re.MULTILINE)
    }


def without(packed: bytes, ref: str) -> bytes:
    """Leave a ref out, with what it peels to."""
    kept, is_of_it = list[bytes](), False
    for line in packed.splitlines(keepends=True):
        is_of_it = line.endswith(f" {ref}\n".encode()) or (is_of_it and line.startswith(b"^"))
        if not is_of_it:
            kept.append(line)
    return b"".join(kept)
