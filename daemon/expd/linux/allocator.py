"""The memory that the C library keeps after use, given back to the system."""

import ctypes


def give_back_memory() -> None:
    """Return pages that nothing lies in (malloc_trim(3)); nothing where the C library has no such call, as musl."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
