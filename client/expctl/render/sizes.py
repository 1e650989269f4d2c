"""Bytes in words."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def size_words(size: int) -> str:
    """Give a number of bytes as a person says it: `12 bytes`, `3.4 MiB`."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{size} bytes" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"
