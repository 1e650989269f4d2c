"""What follows the end of a run: another one, a hold, or nothing. Pure; carried out in the transaction that ends the run."""

from dataclasses import dataclass

from expproto.retries import BACKOFF_SECONDS_MAX, RetryPolicy
from expproto.vocabulary import EXIT_BY_SIGNAL, Failed, Killed, Limit, Lost, Mode, Outcome, OutOfMemory, TimedOut

LOSSES_MAX = 3
"""Runs of one entry that are lost in a row before it is held: by then it is likely that it brings its worker down itself."""
_SIGNALS = range(EXIT_BY_SIGNAL + 1, EXIT_BY_SIGNAL + 65)
"""Exit codes with which a shell says that its command was ended by a signal: signal(7) has 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """What has been tried of an entry since somebody last asked for it: retries used up, and runs lost in a row."""

    retries_used: int = 0
    losses: int = 0


NOT_TRIED = Tries()


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Run it again, not before `at` (seconds since the epoch; None is at once)."""

    at: float | None
    tries: Tries


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Let nothing more happen until somebody has looked: `reason` says why."""

    reason: str
    tries: Tries


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """This was its last run."""


Next = Again | Hold | End


def what_follows(outcome: Outcome, policy: RetryPolicy, tries: Tries, mode: Mode, at: float) -> Next:
    """Decide what follows a run that ended `at` that time.

    What runs in the workspace never runs again by itself: a run may have changed what it would find there. What
    somebody waits for in front of a terminal is only run again where retries were asked for.
    """
    if mode is Mode.WORKSPACE or not is_cause(outcome, policy.causes):
        return End()
    if isinstance(outcome, Lost):
        return _after_loss(outcome, tries) if mode is Mode.QUEUE or policy.retries else End()
    if tries.retries_used >= policy.retries:
        return End()
    wait_seconds = backoff(policy, tries.retries_used)
    used = Tries(retries_used=tries.retries_used + 1)
    return Again(at=at + wait_seconds if wait_seconds else None, tries=used)


def _after_loss(outcome: Lost, tries: Tries) -> Next:
    if outcome.is_explained:
        return Again(at=None, tries=tries)
    losses = Tries(retries_used=tries.retries_used, losses=tries.losses + 1)
    if losses.losses < LOSSES_MAX:
        return Again(at=None, tries=losses)
    return Hold(
        reason=f"its run was lost {LOSSES_MAX} times in a row, the last time because {outcome.reason}", tries=losses
    )


def backoff(policy: RetryPolicy, retries_used: int) -> float:
    """Give the seconds to wait before the next retry: doubled with each, up to an hour."""
    doubled = policy.backoff_seconds * 2.0 ** min(retries_used, 64)
    return min(doubled, max(BACKOFF_SECONDS_MAX, policy.backoff_seconds))


def is_cause(outcome: Outcome, causes: tuple[str, ...]) -> bool:
    """Tell whether an outcome is among the causes; what was cancelled, refused or could not start never is."""
    match outcome:
        case Lost():
            return "lost" in causes
        case OutOfMemory():
            return "oom" in causes
        case Killed():
            return "signal" in causes
        case TimedOut(limit=Limit.TIME):
            return "timeout" in causes
        case TimedOut():
            return "stall" in causes
        case Failed(exit_code=code):
            return "exit" in causes or f"exit:{code}" in causes or ("signal" in causes and code in _SIGNALS)
        case _:
            return False
