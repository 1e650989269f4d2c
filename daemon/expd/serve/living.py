"""The names that a repository's entries hold while they are not done, as the thread that prepares a submission asks for them."""

import trio

from expd.queueing.store import Store

_ASKED_SINGLY = 16
"""Names that are looked up one by one; a sweep asks for more, and reading all is cheaper then."""


class LivingNames:
    """A container of names; asked from a thread of trio's. What one point costs does not depend on how many wait."""

    def __init__(self, store: Store, git_directory: str) -> None:
        self._store = store
        self._git_directory = git_directory
        self._asked = 0
        self._all: set[str] | None = None

    def __contains__(self, name: object) -> bool:
        """Look a name up, in the store or in what has been read of it."""
        self._asked += 1
        if self._all is None and self._asked <= _ASKED_SINGLY:
            return trio.from_thread.run(self._store.is_living, self._git_directory, str(name))
        if self._all is None:
            self._all = trio.from_thread.run(self._store.living_names, self._git_directory)
        return name in self._all
