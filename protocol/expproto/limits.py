"""What a run may use up, as one value: it travels as it is from the command line to the worker, and is stored so."""

from dataclasses import dataclass

SECONDS_MAX = 1e9
"""Thirty years: longer is a slip of the finger."""
LOG_BYTES_MAX = 2**30
"""Of one run's log, unless the settings say otherwise: the text of a week of training is a hundredth of it."""


MEMORY_BYTES_MIN, MEMORY_BYTES_MAX = 32 * 2**20, 2**50
"""What a Python that imports anything needs; a pebibyte is a slip of the finger."""
CPUS_MIN, CPUS_MAX = 0.01, 10_000.0
"""What systemd's CPUQuota= takes; more than any machine has."""

HINDRANCES = {
    "no_groups": "this machine has no control groups",
    "version_1": "control groups are of version 1 here (systemd.unified_cgroup_hierarchy=1 on the kernel's command line changes that)",
    "no_manager": "no systemd manages this user's services here",
    "not_delegated": "systemd was not told to hand this limit on to users (Delegate= of user@.service)",
}
"""Why the kernel can't be asked to keep a limit, by code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What a run may use up, and what of the machine.

    It is ended `time_seconds` after its first stage began, after `stall_seconds` in which its commands did nothing, and
    when it uses more than `memory_bytes`. It gets as much time of processors as `cpus` of them have.
    """

    kind = "run_limits"
    time_seconds: float | None = None
    stall_seconds: float | None = None
    memory_bytes: int | None = None
    cpus: float | None = None

    @property
    def is_timed(self) -> bool:
        """Tell whether there is a limit of time, at which a hanging program is asked where it is."""
        return self.time_seconds is not None or self.stall_seconds is not None


NO_LIMITS = RunLimits()


def senseless_limit(limits: RunLimits) -> str | None:
    """Say what makes no sense about limits; None if they do."""
    given = (limits.time_seconds, limits.stall_seconds)
    if not all(seconds is None or 0 < seconds <= SECONDS_MAX for seconds in given):
        return "a limit is longer than nothing and shorter than thirty years"
    if limits.memory_bytes is not None and not MEMORY_BYTES_MIN <= limits.memory_bytes <= MEMORY_BYTES_MAX:
        return "a limit of memory is at least 32M, and at most 1024T"
    if limits.cpus is not None and not CPUS_MIN <= limits.cpus <= CPUS_MAX:
        return "a limit of processors is at least 0.01, and at most 10000"
    return None
