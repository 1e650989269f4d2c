"""The memory that the C library keeps after use, given back to the system."""

import ctypes
import gc


def give_back_memory(*, with_cycles: bool = False) -> None:
    """Return pages that nothing lies in (malloc_trim(3)); nothing where the C library has no such call, as musl.

    `with_cycles` looks for objects that hold each other first, which stops everything else for milliseconds.
    """
    if with_cycles:
        gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
