"""Times: ISO 8601 in UTC for programs, distances for people."""

import time

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def iso(seconds: float | None) -> str | None:
    """Give a time as `2026-11-21T22:30:00.250000Z`; None stays None."""
    if seconds is None:
        return None
    whole, micro = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{micro:06d}Z"


def span(seconds: float | None) -> str:
    """Give a duration in its two largest units: `0.4s`, `42s`, `3m05s`, `2h07m`, `3d04h`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f}s"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02d}h"


def duration(started_at: float | None, ended_at: float | None, now: float) -> float | None:
    """Give how long something took, or has taken by now; None if it has not begun."""
    if started_at is None:
        return None
    return max((now if ended_at is None else ended_at) - started_at, 0.0)
