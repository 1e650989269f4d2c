"""Which stage is next: the order of a run, what failures leave out of it, and what has to run whatever is known of it.

Promise: pure; addresses in, decisions out. The meaning of each option is DVC's (dvc/repo/reproduce.py).
"""

from collections.abc import Mapping, Sequence

from expproto.stage_options import OnFailure, StageOptions


class Schedule:
    """The stages of one run. Each that `start_next` gives is to be ended by `end` or `fail`.

    `readers` holds, for each address, those that read from it directly; with --single-item nobody reads from anybody.
    """

    def __init__(
        self, order: Sequence[str], readers: Mapping[str, Sequence[str]], options: StageOptions, *, force: bool
    ) -> None:
        self._waiting = dict.fromkeys(order)
        self._readers = readers
        self._options = options
        self._forced = set(order) if force else set[str]()

    def start_next(self) -> str | None:
        """Give the stage to go through now; None when there is nothing left to do."""
        address = next(iter(self._waiting), None)
        if address is not None:
            del self._waiting[address]
        return address

    def is_forced(self, address: str) -> bool:
        """Tell whether a stage has to run although nothing changed."""
        return address in self._forced

    def end(self, address: str, *, has_run: bool) -> None:
        """Take note of a stage that is up to date now; `has_run` if it was not before."""
        if self._options.force_downstream and (has_run or address in self._forced):
            self._forced.update(self._readers.get(address, ()))

    def fail(self, address: str) -> list[str]:
        """Take note of a failure; gives the stages that are left out because of it, in order."""
        if self._options.on_failure is OnFailure.IGNORE:
            return []
        is_end = self._options.on_failure is OnFailure.STOP
        gone = set(self._waiting) if is_end else self._below(address)
        skipped = [waiting for waiting in self._waiting if waiting in gone]
        for waiting in skipped:
            del self._waiting[waiting]
        return [] if is_end else skipped

    def _below(self, address: str) -> set[str]:
        """Everything that reads from a stage, directly or through others."""
        found = {address}
        unseen = [address]
        while unseen:
            new = set(self._readers.get(unseen.pop(), ())) - found
            found |= new
            unseen.extend(new)
        return found
