"""Where an entry stands in the queue, as one value: it travels from the command line to the store."""

import re
from dataclasses import dataclass

DEFAULT_GROUP = "default"
"""The group of whatever names none."""
PRIORITY_MAX = 1_000_000
"""Either way; more is a slip of the finger."""
TIME_MAX = 2.0**40
"""Seconds since the epoch: for 30,000 years from now."""
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """A higher `priority` goes first, among equals the one that was there first; `group` is whose slots it takes.

    It is not run before `not_before`, in seconds since the epoch, and after the entries in `after`: `ID`, a sweep or a name, with
    `:ok` (the default), `:any` or `:failed` for how each is to end. If one ends otherwise, it is skipped.
    """

    kind = "queue_place"
    priority: int = 0
    group: str = DEFAULT_GROUP
    not_before: float | None = None
    after: tuple[str, ...] = ()


ANYWHERE = QueuePlace()


def senseless_place(place: QueuePlace) -> str | None:
    """Say what makes no sense about a place; None if it does."""
    if not -PRIORITY_MAX <= place.priority <= PRIORITY_MAX:
        return f"a priority is between -{PRIORITY_MAX} and {PRIORITY_MAX}"
    if place.not_before is not None and not 0 <= place.not_before <= TIME_MAX:
        return "that is no time"
    return senseless_group(place.group)


def senseless_group(name: str) -> str | None:
    """Say why a group can't have this name; None if it can."""
    if _GROUP.fullmatch(name):
        return None
    return "a group's name has at most 64 letters, digits, dots, - and _, and begins with a letter or a digit"
