"""What a run may use up, as one value: it travels as it is from the command line to the worker, and is stored so."""

from dataclasses import dataclass

SECONDS_MAX = 1e9
"""Thirty years: longer is a slip of the finger."""
LOG_BYTES_MAX = 2**30
"""Of one run's log, unless the settings say otherwise: the text of a week of training is a hundredth of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What ends a run: `time_seconds` after its first stage began, or `stall_seconds` in which its commands did nothing."""

    kind = "run_limits"
    time_seconds: float | None = None
    stall_seconds: float | None = None


NO_LIMITS = RunLimits()


def senseless_limit(limits: RunLimits) -> str | None:
    """Say what makes no sense about limits; None if they do."""
    given = (limits.time_seconds, limits.stall_seconds)
    if all(seconds is None or 0 < seconds <= SECONDS_MAX for seconds in given):
        return None
    return "a limit is longer than nothing and shorter than thirty years"
