"""What the system refuses because it has no more of something: room, descriptors, memory, processes. It may pass."""

import errno
import os
from collections.abc import Mapping

MAY_PASS = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN,
})  # fmt: skip
"""Refusals that say nothing against what was asked for. A file system that became read-only is mended and mounted again."""
OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_BY_WORDS: Mapping[str, int] = {os.strerror(number): number for number in sorted(MAY_PASS | OF_THE_DISK)}


def errno_in(text: str) -> int | None:
    """Find the refusal of the system that a library tells in the system's own words only; None if there is none."""
    return next((number for words, number in _BY_WORDS.items() if words in text), None)
