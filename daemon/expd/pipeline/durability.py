"""Getting what was written onto the disk.

Promise: when one of these returns, what it was given survives a power cut; an error of the disk is an OSError.
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path


def sync_paths(paths: Iterable[str | Path]) -> None:
    """Sync files, or directories for the names in them, one by one: about 2 ms each on an SSD."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_file_system(directory: Path) -> None:
    """Sync the whole file system around `directory`: one wait, however many files were written."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(directory))
    finally:
        os.close(descriptor)
