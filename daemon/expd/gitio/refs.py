"""Refs of a user's repository, each read by its name and moved by compare-and-swap under its lock, which is Git's.

Listing is never trusted for a decision: libgit2 skips a damaged ref silently. A lock that somebody holds is
RefLocked; callers try again until their own deadline.
"""

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pygit2

from expd.gitio.errors import GitDisturbed, GitFailed, RefLocked, RefMoved
from expd.gitio.locking import LockFile, LockHeld, locked
from expd.gitio.packedrefs import PACKED, has_packed_below, is_packed, packed_names, packed_refs, without
from expd.gitio.repository import Repository, git_errors
from expd.linux.durable import sync_directory
from expproto.vocabulary import Rev

ENTRIES = "refs/expd/entries/"
"""One ref a submission keeps its stash commits from the garbage collector."""
RESULTS = "refs/expd/results/"
"""In a submodule's repository: one ref a commit, named by it, keeps what an experiment's gitlink names."""
_RENAMES_MAX = 10
_LOCKED_MAX, _LOCKED_SECONDS = 200, 0.05
"""Ten seconds for a lock that Git holds for microseconds; another run that keeps the same commit holds it no longer."""
_LOGGED = "refs/notes/"
"""Of the refs that we move, those of which Git keeps a log (git-config(1), core.logAllRefUpdates)."""
_PACKED_MAX = 20
"""One second, as long as Git waits for it (git-config(1), core.packedRefsTimeout)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefChange:
    """Move one ref to `new` (None deletes it) if it holds `expected` (None: absent); `force` asks no question."""

    ref: str
    new: Rev | None
    expected: Rev | None = None
    force: bool = False


def experiment_ref(baseline: Rev, name: str) -> str:
    """Give the ref of an experiment: the path alone decides its baseline (DVC's layout)."""
    return f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}"


def read_ref(repository: Repository, ref: str) -> Rev | None:
    """Read one direct ref by its name; None if it is absent."""
    with git_errors(f"{ref} can't be read"):
        try:
            return Rev(str(repository.handle.lookup_reference(ref).resolve().target))
        except KeyError:
            return None


def spellings_of(repository: Repository, prefix: str) -> Mapping[str, set[str]]:
    """List the last parts of the refs right below a prefix, damaged ones too, each under itself in lower case."""
    found: dict[str, set[str]] = {}
    for name in _names_right_below(repository, prefix):
        found.setdefault(name.lower(), set()).add(name)
    return found


def _names_right_below(repository: Repository, prefix: str) -> set[str]:
    common = repository.common_directory
    try:
        names = {name for name in os.listdir(common / prefix) if not name.endswith(".lock")}  # noqa: PTH208 - no Path for each of thousands
    except (FileNotFoundError, NotADirectoryError):
        names = set()
    return names | packed_names(packed_refs(common), prefix)


def twin_of(repository: Repository, ref: str, but_for: str = "") -> str | None:
    """Find the last part of a ref that differs from this one by case alone: where a file system knows no case it is the same file.

    `but_for` is one that counts for none.
    """
    prefix, _, name = ref.rpartition("/")
    same = name.lower()
    found = (each for each in _names_right_below(repository, f"{prefix}/") if each.lower() == same)
    return min((each for each in found if each not in {name, but_for}), default=None)


def experiments_of(repository: Repository, baseline: Rev) -> Mapping[str, Rev]:
    """List the experiments of a baseline, name → rev, for display."""
    prefix = experiment_ref(baseline, "")
    with git_errors("refs can't be listed"):
        names = [ref[len(prefix) :] for ref in repository.handle.references if ref.startswith(prefix)]
    found = {name: read_ref(repository, prefix + name) for name in names if "/" not in name}
    return {name: rev for name, rev in found.items() if rev is not None}


def names_below(repository: Repository, prefix: str, base: str) -> list[str]:
    """List the refs that begin with a prefix, without what they have in common (`base`)."""
    with git_errors("refs can't be listed"):
        return sorted(ref[len(base) :] for ref in repository.handle.references if ref.startswith(prefix))


def change_ref(repository: Repository, change: RefChange) -> None:
    """Carry out one change and read it back; raises RefLocked or RefMoved with nothing changed.

    Raises GitFailed where no lock is in the way but a disk, a damaged ref, or another ref as a directory or above one.
    """
    common = repository.common_directory
    if not pygit2.reference_is_valid_name(change.ref):
        raise GitFailed(f"{change.ref} is no name that a ref can have")
    try:
        with (
            git_errors(f"{change.ref} can't be changed"),
            locked(common, common / f"{change.ref}.lock") as lock,
        ):
            _change_locked(repository, common, change, lock)
    except LockHeld as held:
        raise RefLocked(change.ref, str(held.path), "the lock is held") from held
    if change.new is None:
        _remove_empty(common, change.ref)
    _read_back(repository, change)


def _change_locked(repository: Repository, common: Path, change: RefChange, lock: LockFile) -> None:
    found = read_ref(repository, change.ref)
    if not change.force and found != change.expected:
        raise RefMoved(change.ref, change.expected, found)
    if change.new is not None:
        if found is None:
            _make_room(common, change.ref)
        lock.become(common / change.ref, f"{change.new}\n".encode())
        if change.ref.startswith(_LOGGED) and not repository.handle.is_bare:
            _log(repository, common, change, found)
    elif found is not None:
        _delete(common, change.ref)


def _log(repository: Repository, common: Path, change: RefChange, found: Rev | None) -> None:
    """Add the line that Git adds to the log of such a ref: by it an earlier value is found when the newest is lost."""
    who = repository.identity(time.time())
    line = f"{found or '0' * 40} {change.new} {who.name} <{who.email}> {int(who.at)} +0000\texpd\n"
    place = common / "logs" / change.ref
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("ab") as file:
        file.write(line.encode())


def _make_room(common: Path, ref: str) -> None:
    """Check that no ref is above or below a new one, and remove directories without a ref that have its place."""
    packed, place = packed_refs(common), common / ref
    above = ["/".join(ref.split("/")[:count]) for count in range(2, ref.count("/") + 1)]
    if any(is_packed(packed, each) for each in above):
        raise GitFailed(f"{ref} can't be made: there is a ref that would have to be its directory")
    for directory in sorted((path for path in (place, *place.rglob("*")) if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            directory.rmdir()
    if place.is_dir() or has_packed_below(packed, ref):
        raise GitFailed(f"{ref} can't be made: there are refs beneath it")


def _delete(common: Path, ref: str) -> None:
    """Delete a ref under its lock; and under that of packed-refs, so that nobody packs it meanwhile (Git's own order)."""
    with _packed_refs_locked(common) as lock:
        packed = packed_refs(common)
        if is_packed(packed, ref):
            status = (common / PACKED).stat()
            os.fchmod(lock.descriptor, stat.S_IMODE(status.st_mode))
            lock.become(common / PACKED, without(packed, ref))
        for path in (common / ref, common / "logs" / ref):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _packed_refs_locked(common: Path) -> Iterator[LockFile]:
    """Have the lock of packed-refs; `git gc` has it for a moment, and it is waited for as Git itself does. Raises LockHeld."""
    with contextlib.ExitStack() as stack:
        for attempt in range(_PACKED_MAX):
            try:
                lock = stack.enter_context(locked(common, common / f"{PACKED}.lock"))
            except LockHeld:
                if attempt == _PACKED_MAX - 1:
                    raise
                time.sleep(_LOCKED_SECONDS)
            else:
                yield lock
                return


def _remove_empty(common: Path, ref: str) -> None:
    """Remove directories that held nothing but a ref, as Git does: all but two levels."""
    parts = ref.split("/")[:-1]
    with contextlib.suppress(OSError):
        for count in range(len(parts), 2, -1):
            (common / "/".join(parts[:count])).rmdir()


def put_ref(repository: Repository, ref: str, rev: Rev) -> None:
    """Set a ref whose name is known to nobody else, and put it on the disk: no lock is taken that a kill could leave.

    Raises GitFailed.
    """
    common = repository.common_directory
    temporary = common / "expd" / f"ref-{secrets.token_hex(8)}"
    with git_errors(f"{ref} can't be written"):
        try:
            temporary.parent.mkdir(exist_ok=True)
            with temporary.open("xb") as file:
                file.write(f"{rev}\n".encode())
                file.flush()
                os.fsync(file.fileno())
            _rename_to(temporary, common / ref)
        finally:
            temporary.unlink(missing_ok=True)
    _read_back(repository, RefChange(ref=ref, new=rev))


def _rename_to(temporary: Path, place: Path) -> None:
    """Put a file where a ref belongs; Git removes directories of refs that are empty, also between two steps of ours."""
    for attempt in range(_RENAMES_MAX):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.rename(place)
        except FileNotFoundError:
            if attempt == _RENAMES_MAX - 1:
                raise
        else:
            sync_directory(place.parent)
            return


def keep_commit(repository: Repository, rev: Rev) -> None:
    """Hold a commit by a ref that is named by it, if it is not held so already; a lock is waited for.

    Raises GitFailed when the lock stays.
    """
    change = RefChange(ref=f"{RESULTS}{rev}", new=rev, force=True)
    for attempt in range(_LOCKED_MAX):
        if read_ref(repository, change.ref) == rev:
            return
        try:
            change_ref(repository, change)
        except (RefLocked, GitDisturbed) as error:
            if attempt == _LOCKED_MAX - 1:
                where = f" ({error.path})" if isinstance(error, RefLocked) else ""
                raise GitFailed(f"{change.ref} can't be set{where}: {error.what}") from error
            time.sleep(_LOCKED_SECONDS)


def _read_back(repository: Repository, change: RefChange) -> None:
    """Look with fresh eyes: another handle knows nothing of what this one believes to have written. A file that says so is enough."""
    common = repository.common_directory
    if change.new is not None:
        with contextlib.suppress(OSError):  # Git may have packed it already
            if (common / change.ref).read_bytes() == f"{change.new}\n".encode():
                return
    seen = read_ref(Repository(Path(repository.handle.path)), change.ref)
    if seen != change.new:
        raise RefMoved(change.ref, change.new, seen)
