"""How far a run is: told while it goes, and kept when it has ended."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgress:
    """A stage under way. `estimate_seconds` is the median of what it took with the same command in earlier runs."""

    kind = "stage_progress"
    name: str
    started_at: float
    command_hash: str | None
    estimate_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """`begun` of `total` stages have begun (None: a single command), `done` have ended well; `stages` are those under way.

    `metrics` are those that were written since the run began, by dotted keys; `step` is that of DVCLive among them.
    """

    kind = "run_progress"
    begun: int
    total: int | None
    stages: tuple[StageProgress, ...]
    step: int | None
    metrics: Mapping[str, object]
    done: int = 0
