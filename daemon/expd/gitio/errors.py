"""What can go wrong with a repository, as types with data."""

from expd.linux.exhaustion import errno_in


class NotARepository(Exception):
    """There is no Git repository with a work tree at or above `cwd`."""

    def __init__(self, cwd: str, what: str) -> None:
        super().__init__(f"{cwd}: {what}")
        self.cwd = cwd
        self.what = what


class GitFailed(Exception):
    """Git could not do something: `what` says what, in libgit2's words."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    @property
    def errno(self) -> int | None:
        """Give what the system refused for want of something, if that is why (errno(3))."""
        return errno_in(self.what)


class GitDisturbed(GitFailed):
    """Somebody else's Git worked at the same place: `git gc` moved an object or removed an empty directory under us."""


class ObjectMissing(GitDisturbed):
    """An object is not where this handle looked: it is lost, or `git gc` has moved it to another pack meanwhile."""


class LeavesTree(Exception):
    """A path can't be followed inside a tree: `path`, and `what` is in the way."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.path = path
        self.what = what


class RefLocked(Exception):
    """Somebody holds the lock of a ref: `path` is the lock file if it is there to be seen."""

    def __init__(self, ref: str, path: str, what: str) -> None:
        super().__init__(f"{ref}: {what}")
        self.ref = ref
        self.path = path
        self.what = what


class RefMoved(Exception):
    """A ref does not hold the rev it was expected to hold: `found` is what it holds, None if it is absent."""

    def __init__(self, ref: str, expected: str | None, found: str | None) -> None:
        super().__init__(f"{ref} holds {found}, not {expected}")
        self.ref = ref
        self.expected = expected
        self.found = found


class CannotCapture(Exception):
    """A workspace can't be captured: `what` is wrong, at which `path`, and what to do (`hint`, may be empty)."""

    def __init__(self, path: str, what: str, hint: str = "") -> None:
        super().__init__(path, what)
        self.path = path
        self.what = what
        self.hint = hint
