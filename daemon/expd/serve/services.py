"""What handlers work with, in one place, made by the app and passed down."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from expd.collect.results import Results
from expd.dispatch.pool import Pool
from expd.linux.inotify import Watcher
from expd.queueing.store import Store
from expd.settings import Settings
from expd.upkeep.hooks import Herald
from expd.upkeep.recovering import Recovery
from expd.upkeep.retaining import Collector
from expproto.replies import Event
from expproto.vocabulary import Ending, Rev

CAPTURES_AT_ONCE = 4
"""Captures and readings of Git at once: each keeps a processor and a disk busy."""


@dataclass(slots=True)
class Chosen:
    """What the person has chosen, as it was read last."""

    now: Settings


Answer = Callable[[Event], Awaitable[None]]
"""Sends one event of the open request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The daemon's parts. `stop` begins its end."""

    store: Store
    pool: Pool
    watcher: Watcher
    chosen: Chosen
    socket_path: Path
    state_directory: Path
    started_at: float
    recovery: Recovery
    collector: Collector
    herald: Herald
    capturing: set[str]
    """Under which names submissions on their way hold their commits."""
    stop: Callable[[Ending], None]
    is_stopping: Callable[[], bool]
    editing: trio.Lock = field(default_factory=trio.Lock)
    """Held by who gives entries other stash commits: each is made of the one before it."""
    rng: random.Random = field(default_factory=random.SystemRandom)
    git: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(CAPTURES_AT_ONCE))
    results: dict[tuple[str, str, Rev], Results] = field(default_factory=dict)
    """What was read of experiment commits: (git directory, root, rev) → results; a commit never changes."""

    @property
    def settings(self) -> Settings:
        """Give the settings as they are now."""
        return self.chosen.now

    def use(self, settings: Settings) -> None:
        """Go on with other settings; what runs was begun with those before."""
        self.chosen.now = settings
        self.pool.use(settings)
        self.collector.use(settings.retention)
        self.herald.use(settings.hooks)
