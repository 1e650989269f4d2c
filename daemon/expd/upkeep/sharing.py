"""What lies in a repository, which several daemons may use: what of it is given up without harm to any. Blocks."""

import time
from collections.abc import Iterable
from pathlib import Path

from expd.gitio.errors import GitFailed, RefLocked, RefMoved
from expd.gitio.refs import ENTRIES, RefChange, change_ref, names_below, read_ref
from expd.gitio.repository import Repository
from expd.pipeline.copies import copies_store, objects_of
from expd.pipeline.model import MissingObjectError
from expd.prepare.restore import RESTORED

_FRESH_SECONDS = 86400.0
"""What a submission has just stored is not named by any entry yet."""


def restored_refs(common: Path) -> list[tuple[str, float]]:
    """List what restores put aside: each ref, and when its commit was made."""
    try:
        repository = Repository(common)
        found = [(ref, read_ref(repository, ref)) for ref in names_below(repository, RESTORED, "")]
        return [(ref, repository.committed_at(rev)) for ref, rev in found if rev is not None]
    except GitFailed:
        return []


def remove_restored(common: Path, ref: str) -> str | None:
    """Delete one of these refs; gives in words what is in the way."""
    try:
        change_ref(Repository(common), RefChange(ref=ref, new=None, force=True))
    except (GitFailed, RefLocked, RefMoved) as error:
        return f"{ref} stays: {error}"
    return None


def unused_copies(common: Path, needed: Iterable[str], store_name: str) -> list[Path]:
    """Find what -C has stored that no entry names any more; nothing where another daemon holds entries there too."""
    store = copies_store(common)
    objects = common / "expd" / "copies" / "files" / "md5"
    if not objects.is_dir() or _is_shared(common, store_name):
        return []
    keep = set[str]()
    for listing in needed:
        try:
            keep |= objects_of(listing, store)
        except MissingObjectError:
            continue
    oldest = time.time() - _FRESH_SECONDS
    return [
        path
        for path in sorted(objects.glob("[0-9a-f][0-9a-f]/*"))
        if path.parent.name + path.name not in keep and path.lstat().st_ctime < oldest
    ]


def _is_shared(common: Path, store_name: str) -> bool:
    """Tell whether another daemon holds entries in a repository, or whether that can't be told."""
    try:
        names = names_below(Repository(common), ENTRIES, ENTRIES)
    except GitFailed:
        return True
    return any(name.partition("/")[0] != store_name for name in names)
