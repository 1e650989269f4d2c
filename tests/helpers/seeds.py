"""Seeds of tests that draw: printed, so that whoever sees a failure can see it again."""

import os
import random


def a_seed() -> int:
    """Draw a seed, or take the one of EXPD_FAULT_SEED; pytest shows it with a failure."""
    seed = int(os.environ.get("EXPD_FAULT_SEED") or random.SystemRandom().randrange(2**32))
    print(f"EXPD_FAULT_SEED={seed}")  # noqa: T201 - as said above
    return seed
