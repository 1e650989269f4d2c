"""When a run that did not succeed is followed by another, as one value: it travels from the command line to the store."""

from dataclasses import dataclass

RETRIES_MAX = 1000
"""More is a loop that somebody forgot."""
BACKOFF_SECONDS = 10.0
"""Before the first retry where nothing else is said: what was in the way for a moment is gone then."""
BACKOFF_SECONDS_MAX = 3600.0
"""What doubling stops at: an entry that waits longer than an hour is forgotten by its owner, and not by the queue."""

RETRY_CAUSES = ("lost", "oom", "signal", "timeout", "stall", "exit")
"""What `--retry-on` may name: outcomes in short; `exit:75` is `exit` with one code alone."""
EXIT_CODE_MAX = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a run is followed by another (`retries`), after which ends (`causes`), and how long it waits before.

    The wait is `backoff_seconds` before the first retry, and twice the last one before each further, to an hour.
    A run that was lost uses up none of the `retries`; without `lost` among the `causes` it is not run again.
    """

    kind = "retry_policy"
    retries: int = 0
    causes: tuple[str, ...] = RETRY_CAUSES
    backoff_seconds: float = BACKOFF_SECONDS


NO_RETRIES = RetryPolicy()


def senseless_retries(policy: RetryPolicy) -> str | None:
    """Say what makes no sense about a policy; None if it does."""
    if not 0 <= policy.retries <= RETRIES_MAX:
        return f"a run is tried again at most {RETRIES_MAX} times"
    if not 0 <= policy.backoff_seconds <= BACKOFF_SECONDS_MAX:
        return f"--backoff is at most {BACKOFF_SECONDS_MAX:g} s"
    for cause in policy.causes:
        if not _is_cause(cause):
            return f"--retry-on {cause}: one of {', '.join(RETRY_CAUSES)}, or exit:CODE as in exit:75"
    return None


def _is_cause(cause: str) -> bool:
    name, colon, code = cause.partition(":")
    if not colon:
        return name in RETRY_CAUSES
    return name == "exit" and code.isascii() and code.isdigit() and 1 <= int(code) <= EXIT_CODE_MAX
