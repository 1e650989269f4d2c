"""How far the runs are that have not ended: told by workers, held in memory, asked for by whoever watches."""

from dataclasses import replace
from statistics import median
from weakref import WeakValueDictionary

from expd.bell import Bell
from expd.dispatch.settling import insist
from expd.queueing.store import Store
from expproto.progress import RunProgress, StageProgress
from expproto.vocabulary import RunId


class ProgressBoard:
    """The newest progress of each run."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._newest: dict[RunId, RunProgress] = {}
        self._bells: WeakValueDictionary[RunId, Bell] = WeakValueDictionary()

    def of(self, run: RunId) -> RunProgress | None:
        """Give how far a run is that has not ended."""
        return self._newest.get(run)

    def bell_of(self, run: RunId) -> Bell:
        """Give the bell that rings when a run has come further; it exists for as long as somebody holds it."""
        bell = self._bells.get(run)
        if bell is None:
            bell = self._bells[run] = Bell()
        return bell

    async def put(self, run: RunId, progress: RunProgress) -> None:
        """Take what a worker told, and add how long the stages took before, asked of the store once a stage."""
        before = self._newest.get(run)
        known = {} if before is None else {(stage.name, stage.command_hash): stage for stage in before.stages}
        stages: list[StageProgress] = []
        for stage in progress.stages:
            same = known.get((stage.name, stage.command_hash))
            estimate = await self._estimate(run, stage) if same is None else same.estimate_seconds
            stages.append(replace(stage, estimate_seconds=estimate))
        self._newest[run] = replace(progress, stages=tuple(stages))
        if (bell := self._bells.get(run)) is not None:
            bell.ring()

    def take(self, run: RunId) -> RunProgress | None:
        """Give the last that was told of a run, and forget it."""
        return self._newest.pop(run, None)

    async def _estimate(self, run: RunId, stage: StageProgress) -> float | None:
        """Give what the same stage took with the same command in earlier runs, as a median."""
        command = stage.command_hash
        if command is None:
            return None
        seconds = await insist(lambda: self._store.stage_seconds(run, stage.name, command))
        return median(seconds) if seconds else None
