"""Files that go along with a submission beside its capture: into a content store, and from there into a worktree.

The store is a cache of our own beside the repository, not DVC's, where `dvc gc` would take what a queued entry needs.
What is placed are copies (or shared extents, which a write splits), never links that a run could write through. One
object, the listing, names all the others.
"""

import hashlib
import json
import os
import stat
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from expd.pipeline.cache import Cache
from expd.pipeline.hashing import Hasher, no_checkpoint
from expd.pipeline.links import DEFAULT_LINK_TYPES
from expd.pipeline.memo import HashMemo
from expd.pipeline.model import Fingerprint, PipelineError
from expd.pipeline.sidebyside import Checkpoint

COPIED_FILES_MAX = 100_000
"""Files of one submission: a virtual environment has ten thousand, and each is copied for each run."""


@dataclass(slots=True)
class Listing:
    """What is copied, by its path below the workspace: files (md5, mode), links (where they lead), directories."""

    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """Give the text that is stored."""
        plain = {"version": 1, "files": self.files, "links": self.links, "directories": self.directories}
        return json.dumps(plain, sort_keys=True).encode()


def copies_place(common_directory: Path) -> Path:
    """Give the directory of that store."""
    return common_directory / "expd" / "copies"


def copies_store(common_directory: Path, checkpoint: Checkpoint = no_checkpoint) -> Cache:
    """Give the content store of a repository, by its common Git directory."""
    return Cache(copies_place(common_directory), types=DEFAULT_LINK_TYPES, checkpoint=checkpoint)


def files_below(workspace: Path, path: str) -> Iterator[tuple[str, os.stat_result]]:
    """List what a path stands for, itself first: links below it are not followed, special files are passed over."""
    waiting = [(path, (workspace / path).stat())]
    while waiting:
        here, status = waiting.pop()
        yield here, status
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(workspace / here) as entries:
                below = [(f"{here}/{entry.name}", entry.stat(follow_symlinks=False)) for entry in entries]
            waiting.extend(sorted(below, key=lambda item: item[0], reverse=True))


def store_copies(workspace: Path, paths: Sequence[str], captured: Container[str], store: Cache, memo: HashMemo) -> str:
    """Store what lies at the paths, except what the capture holds, and give the md5 of the listing.

    PipelineError for more than COPIED_FILES_MAX files, ChangedWhileReadError for one that is written meanwhile.
    """
    hasher, listing = Hasher(memo=memo), Listing()
    stored: list[tuple[Path, Fingerprint]] = []
    for path, status in (found for named in paths if named not in captured for found in files_below(workspace, named)):
        if path in captured:
            continue
        if stat.S_ISREG(status.st_mode):
            stored.append((workspace / path, hasher.file(str(workspace / path), status)))
            listing.files[path] = (stored[-1][1].md5, stat.S_IMODE(status.st_mode) & 0o777)
        elif stat.S_ISLNK(status.st_mode):
            listing.links[path] = str((workspace / path).readlink())
        elif stat.S_ISDIR(status.st_mode):
            listing.directories.append(path)
        if len(stored) > COPIED_FILES_MAX:
            raise PipelineError(path=path, expected=f"at most {COPIED_FILES_MAX} files to copy", hint="name fewer")
    store.store_files(stored)
    return _store_listing(listing, store)


def _store_listing(listing: Listing, store: Cache) -> str:
    data = listing.to_bytes()
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if not store.has(Fingerprint(md5=md5)):
        store.write_entry(store.location(md5), data)
        store.has(Fingerprint(md5=md5))  # reads it once more, and protects it
    return md5


def place_copies(md5: str, store: Cache, worktree: Path, *, only_missing: bool = False) -> frozenset[str]:
    """Put everything that a listing names into a worktree, or only what is not there; gives the paths of files and links.

    MissingObjectError for what the store lacks, PipelineError where a link of the capture is in the way.
    """
    listing = _read_listing(md5, store)
    for path in listing.directories:
        _make_directory(worktree, path)
    for path, (content, mode) in listing.files.items():
        if only_missing and os.path.lexists(worktree / path):
            continue
        _make_directory(worktree, PurePosixPath(path).parent.as_posix())
        store.check_out(Fingerprint(md5=content), worktree / path, types=DEFAULT_LINK_TYPES)
        (worktree / path).chmod(mode)
    for path, target in listing.links.items():
        if only_missing and os.path.lexists(worktree / path):
            continue
        _make_directory(worktree, PurePosixPath(path).parent.as_posix())
        (worktree / path).unlink(missing_ok=True)
        (worktree / path).symlink_to(target)
    return frozenset({*listing.files, *listing.links})


def objects_of(md5: str, store: Cache) -> set[str]:
    """Give the hashes of all that a listing names, itself among them; MissingObjectError if it is not there."""
    return {md5, *(content for content, _mode in _read_listing(md5, store).files.values())}


def _read_listing(md5: str, store: Cache) -> Listing:
    fingerprint = Fingerprint(md5=md5)
    if not store.has(fingerprint):
        raise store.missing(fingerprint, "it lists the files to copy; submit again")
    plain = json.loads(store.location(md5).read_bytes())
    files = {str(path): (str(content), int(mode)) for path, (content, mode) in plain["files"].items()}
    return Listing(files=files, links=dict(plain["links"]), directories=list(plain["directories"]))


def _make_directory(worktree: Path, path: str) -> None:
    """Make a directory of the worktree, through no link: one would lead outside."""
    place = worktree
    for part in PurePosixPath(path).parts:
        place /= part
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise PipelineError(path=path, expected="a directory to copy into", hint=f"{part} is a link or a file")
        place.mkdir(exist_ok=True)
