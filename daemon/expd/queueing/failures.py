"""When a sweep has failed often enough: pure, from how its points have ended so far."""

from collections.abc import Mapping

NOT_THEIR_OWN = frozenset({"succeeded", "cancelled", "lost", "skipped"})
"""Outcomes that say nothing against the points that wait: a lost run vanished with its worker or its machine."""


def reason_to_stop(max_failures: int | None, ended: Mapping[str, int]) -> str | None:
    """Say why the points of a sweep that still wait are to be ended; None if they are not.

    `ended` counts the points that are done by the kind of their outcome.
    """
    failed = sum(count for kind, count in ended.items() if kind not in NOT_THEIR_OWN)
    if max_failures is None or failed < max_failures:
        return None
    return f"cancelled: {failed} of its sweep failed (--max-failures {max_failures})"
