"""What stands below a directory, as a value to compare."""

import os
import stat
from pathlib import Path

Picture = dict[str, tuple[int, bytes]]


def picture_of(directory: Path) -> Picture:
    """Give everything below a directory: path → type and mode, content or target."""
    picture: Picture = {"": (directory.lstat().st_mode, b"")}
    for parent, subdirectories, files in os.walk(directory):
        for name in (*subdirectories, *files):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            content = b""
            if stat.S_ISLNK(mode):
                content = os.fsencode(path.readlink())
            elif stat.S_ISREG(mode):
                content = path.read_bytes()
            picture[str(path.relative_to(directory))] = (mode, content)
    return picture
