"""Requests that steer: which entries run next, in which group, and whether any do.

What is asked about one entry, or made of it, stands in `requests`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Let entries that are queued wait for their release."""

    kind = "hold"
    cwd: str
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNow:
    """Let entries that wait run at once, beyond the slots there are; held ones too."""

    kind = "run_now"
    cwd: str
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditEntries:
    """Change entries that wait, all of them or none. None is as it was; `not_before` 0 is at once, and a limit of 0 is none.

    `after` names all that they wait for then, as a submission does. With `overrides` each gets a new stash commit, made of
    its own; `request_id` is made by the client, and asked again with the same one nothing is overridden twice.
    """

    kind = "edit"
    cwd: str
    entries: tuple[str, ...]
    priority: int | None = None
    group: str | None = None
    not_before: float | None = None
    after: tuple[str, ...] | None = None
    time_seconds: float | None = None
    stall_seconds: float | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    retries: int | None = None
    causes: tuple[str, ...] | None = None
    backoff_seconds: float | None = None
    overrides: tuple[str, ...] = ()
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Let entries that wait be the next of their group; or come right before another one, in its group and priority."""

    kind = "move"
    cwd: str
    entries: tuple[str, ...]
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Start nothing more, of one `group` or of all; what runs goes on, or with `freeze` stands still."""

    kind = "pause"
    group: str | None = None
    freeze: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Start entries again, of one `group` or of all; what was frozen goes on, unless the pool or its own group is still paused."""

    kind = "resume"
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetJobs:
    """Let so many runs of a group (None: the default one) be active at once, or so many more (`change`); without either only asks."""

    kind = "set_jobs"
    jobs: int | None = None
    change: int | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddGroup:
    """Make a group with so many slots of its own, or give one that is there so many."""

    kind = "add_group"
    name: str
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveGroup:
    """Take a group away in which nothing waits or runs."""

    kind = "remove_group"
    name: str
