"""Files that are put into the user's home for other programs to find: man pages, completions."""

import os


def data_home() -> str:
    """Give the directory for such files (XDG base directories)."""
    return os.environ.get("XDG_DATA_HOME") or f"{os.environ.get('HOME', '/nonexistent')}/.local/share"


def place(path: str, text: str) -> bool:
    """Write a file whole; False if it was there as it is."""
    data = text.encode()
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs 10 ms and adds nothing here
            if file.read() == data:
                return False
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - as above
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "wb") as file:  # noqa: PTH123 - as above
        file.write(data)
    os.replace(temporary, path)  # noqa: PTH105 - as above
    return True
