"""The environment of a submission: what the user's settings forbid is taken out before anything sees it."""

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase

Environment = tuple[tuple[bytes, bytes], ...]


def allowed(environment: Environment, deny: Sequence[str]) -> Environment:
    """Give the variables whose names match none of the patterns; case matters, as it does for the system."""
    return tuple((name, value) for name, value in environment if not _is_denied(os.fsdecode(name), deny))


def _is_denied(name: str, deny: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in deny)
