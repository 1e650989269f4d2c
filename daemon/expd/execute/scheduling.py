"""Which stage is next: the order of a run, what may run side by side, what failures leave out, what has to run in any case.

Promise: pure; addresses in, decisions out. The meaning of each option is DVC's (dvc/repo/reproduce.py), but for
`stage_jobs`: with more than one, a stage starts as soon as those it has to wait for have ended, the first of the plan first.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from expproto.stage_options import OnFailure, StageOptions

_NOTHING: Mapping[str, Collection[str]] = MappingProxyType({})


class Schedule:
    """The stages of one run. Each that `start_next` gives is to be ended by `end`, after `fail` if it failed.

    `readers` holds, for each address, those that read from it directly; with --single-item nobody reads from anybody.
    `waits` holds the earlier ones that each has to wait for; with one stage at a time nobody needs to know.
    """

    def __init__(
        self,
        order: Sequence[str],
        readers: Mapping[str, Sequence[str]],
        options: StageOptions,
        *,
        force: bool,
        waits: Mapping[str, Collection[str]] = _NOTHING,
    ) -> None:
        self._waiting = dict.fromkeys(order)
        self._readers = readers
        self._options = options
        self._waits = waits
        self._jobs = options.stage_jobs or 1
        self._running = set[str]()
        self._failed = set[str]()
        self._forced = set(order) if force else set[str]()

    def start_next(self) -> str | None:
        """Give a stage to go through now; None when there is none until one ends, or none at all."""
        if len(self._running) >= self._jobs:
            return None
        address = next((waiting for waiting in self._waiting if self._is_free(waiting)), None)
        if address is not None:
            del self._waiting[address]
            self._running.add(address)
        return address

    def _is_free(self, address: str) -> bool:
        """Tell whether everything that a stage has to wait for has ended."""
        if not self._running:
            return True  # it is the first of those that are left
        return not any(other in self._running or other in self._waiting for other in self._waits.get(address, ()))

    def is_forced(self, address: str) -> bool:
        """Tell whether a stage has to run although nothing changed."""
        return address in self._forced

    def end(self, address: str, *, has_run: bool) -> None:
        """Take note of the end of a stage. If it did not fail it is up to date now; `has_run` if it was not before."""
        self._running.remove(address)
        if address in self._failed:
            return
        if self._options.force_downstream and (has_run or address in self._forced):
            self._forced.update(self._readers.get(address, ()))

    def fail(self, address: str) -> list[str]:
        """Take note of a failure; gives the stages that are left out because of it, in order. What runs goes on."""
        self._failed.add(address)
        if self._options.on_failure is OnFailure.IGNORE:
            return []
        gone = set(self._waiting) if self._options.on_failure is OnFailure.STOP else self._below(address)
        skipped = [waiting for waiting in self._waiting if waiting in gone]
        for waiting in skipped:
            del self._waiting[waiting]
        return skipped

    def _below(self, address: str) -> set[str]:
        """Everything that reads from a stage, directly or through others."""
        found = {address}
        unseen = [address]
        while unseen:
            new = set(self._readers.get(unseen.pop(), ())) - found
            found |= new
            unseen.extend(new)
        return found
