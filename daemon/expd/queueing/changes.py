"""Who wants to know of changes in the queue: a bell for every entry somebody listens to, and one for any change."""

from weakref import WeakValueDictionary

from expd.bell import Bell
from expproto.vocabulary import EntryId


class Changes:
    """Rung by the store after each commit."""

    def __init__(self) -> None:
        self.any = Bell()
        self.turn = Bell()
        """Rung when there may be something to start, or nothing left that runs."""
        self.turns = 0
        """How often what may start, or how much of it, may have changed."""
        self._bells: WeakValueDictionary[EntryId, Bell] = WeakValueDictionary()

    def of(self, entry: EntryId) -> Bell:
        """Give the bell of one entry; it exists for as long as somebody holds it."""
        bell = self._bells.get(entry)
        if bell is None:
            bell = self._bells[entry] = Bell()
        return bell

    def announce_claim(self, entry: EntryId) -> None:
        """Ring for an entry that a worker takes: less may start now, and nothing that could not before."""
        self.turns += 1
        self.announce(entry, is_under_way=True)

    def announce(self, *entries: EntryId, is_under_way: bool = False) -> None:
        """Ring for these entries, and for any; what is under way and goes on so is of no account for what starts next."""
        for entry in entries:
            if (bell := self._bells.get(entry)) is not None:
                bell.ring()
        self.any.ring()
        if not is_under_way:
            self.turns += 1
            self.turn.ring()
