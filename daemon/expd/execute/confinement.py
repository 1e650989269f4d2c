"""The limits of a run that its machine keeps: memory and processors, by the kernel where it can be asked, else as far as we can.

Elsewhere memory is looked at once a second (`limits.Watch`), and processors are not limited; the run's log says so.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import psutil

from expd.linux.mounts import own_group
from expd.linux.scopes import CPU, MEMORY, go_back, hindrance, limit_of, oom_kills, open_scope, peak_of
from expproto.limits import HINDRANCES, RunLimits
from expproto.vocabulary import OutOfMemory

_journal = logging.getLogger("expd.execute")


class Confinement:
    """One run's; `begin` puts this worker, and so all it starts, into a scope with limits, `end` takes it out again."""

    def __init__(self, limits: RunLimits, name: str) -> None:
        """`name` is that of the scope, which is the run's alone."""
        self._limits = limits
        self._name = name
        self._home: Path | None = None
        self._refusal: str | None = None
        self._seen_bytes = 0
        self.scope: Path | None = None
        """The group with the limits, while we are in one."""

    @property
    def is_wanted(self) -> bool:
        """Tell whether there is any such limit."""
        return self._limits.memory_bytes is not None or self._limits.cpus is not None

    @property
    def events(self) -> Path | None:
        """Give the file that changes when the kernel ends something for lack of memory; None where nobody tells."""
        return None if self.scope is None or self._limits.memory_bytes is None else self.scope / "memory.events"

    @property
    def is_watched(self) -> bool:
        """Tell whether the limit of memory is kept by looking."""
        return self._limits.memory_bytes is not None and self.events is None

    def begin(self) -> None:
        """Go into a scope, if there is a limit that one keeps; what can't be had is told by `notes`. Blocks."""
        memory = self._limits.memory_bytes if hindrance(MEMORY) is None else None
        cpus = self._limits.cpus if hindrance(CPU) is None else None
        if memory is None and cpus is None:
            return
        self._home = own_group()
        try:
            self.scope = open_scope(self._name, memory_bytes=memory, cpus=cpus)
        except OSError as error:
            self._refusal = f"systemd makes no scope: {error}"
            _journal.warning("%s: %s", self._name, self._refusal)

    def end(self) -> None:
        """Go back to where the worker was; the scope goes when it is empty. Blocks."""
        if self.scope is None:
            return
        try:
            go_back(self._home, self._name.replace("run", "worker"))
        except OSError as error:
            _journal.error("the scope %s can't be left: %s", self._name, error)

    def notes(self) -> Iterator[str]:
        """Say which limits the kernel does not keep, and why."""
        for given, controller, words in (
            (self._limits.memory_bytes, MEMORY, "the memory of the run is looked at once a second"),
            (self._limits.cpus, CPU, "the limit of processors is not kept"),
        ):
            code = None if given is None else hindrance(controller)
            reason = self._refusal if code is None else HINDRANCES[code]
            if given is not None and reason is not None:
                yield f"expd: {words}: {reason}"

    def has_killed(self) -> bool:
        """Tell whether the kernel has ended a process of the run because of its limit."""
        return self.events is not None and self.scope is not None and oom_kills(self.scope) > 0

    def exceeds(self) -> bool:
        """Look whether the run uses more than its limit now; where nobody else does. Blocks."""
        limit = self._limits.memory_bytes
        used = _resident_bytes(shared_once=False)
        if limit is not None and used > limit:
            used = _resident_bytes(shared_once=True)
        self._seen_bytes = max(self._seen_bytes, used)
        return limit is not None and used > limit

    def outcome(self, stage: str, evidence: str) -> OutOfMemory:
        """Give the outcome of a run that was ended for lack of memory, with what is known of its limit."""
        limit = None if self.scope is None else limit_of(self.scope)
        peak = None if self.scope is None else peak_of(self.scope)
        return OutOfMemory(
            stage=stage,
            evidence=evidence,
            limit_bytes=limit or self._limits.memory_bytes,
            peak_bytes=peak or self._seen_bytes or None,
        )


def _resident_bytes(*, shared_once: bool) -> int:
    """Sum what the processes below us have in memory; what several share, each time, unless the kernel is asked for its parts.

    To ask for these costs a millisecond for each gigabyte, so that it is done only when it matters.
    """
    used = 0
    for process in psutil.Process().children(recursive=True):
        try:
            used += process.memory_full_info().pss if shared_once else process.memory_info().rss
        except psutil.Error:
            continue
    return used
