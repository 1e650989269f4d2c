"""What a power cut or a kill leaves in a repository: object files without a byte, packs cut short, and locks that nobody holds.

An empty object file never heals by itself: whoever writes the same object again finds it there and writes nothing. It
holds nothing either, so removing one loses nothing.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from expd.gitio.repository import Repository, git_errors
from expd.gitio.submodules import gitlinks_of_index
from expproto.vocabulary import Rev

_FAN_OUT, _REV_DIGITS = 2, 40
_CHECKSUM_BYTES = 20
_PACKS_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What became of empty object files: all are removed; what the workspace holds is `written` anew."""

    removed: tuple[Path, ...]
    written: tuple[Rev, ...]

    @property
    def lost(self) -> list[Path]:
        """Give those whose content is nowhere here."""
        return [path for path in self.removed if rev_of(path) not in self.written]


def rev_of(path: Path) -> Rev:
    """Give the object that belongs into a loose object's file."""
    return Rev(path.parent.name + path.name)


def empty_objects(repository: Repository) -> list[Path]:
    """Find object files without a byte: a look at every loose object, of which a repository in use has thousands."""
    return sorted(path for path, size in _loose_objects(repository.objects_directory) if size == 0)


def damaged_packs(common_directory: Path) -> list[Path]:
    """Find packs that are not what their index is of: gone, cut short, or of another content; a look at the last bytes of each."""
    indexes = (common_directory / "objects" / "pack").glob("pack-*.idx")
    return sorted(index.with_suffix(".pack") for index in indexes if not _is_whole(index))


def with_damage(what: str, common_directory: Path) -> str:
    """Add to what failed which packs are damaged, if any are: libgit2 says only what it did not find."""
    packs = damaged_packs(common_directory)
    return f"{what}; damaged, or not there: {', '.join(map(str, packs[:_PACKS_NAMED]))}" if packs else what


def _is_whole(index: Path) -> bool:
    """Compare the checksum at the end of a pack with that in its index (gitformat-pack(5)); a repack may take both away meanwhile."""
    try:
        noted = _last_bytes(index, 2 * _CHECKSUM_BYTES)[:_CHECKSUM_BYTES]
        return noted == _last_bytes(index.with_suffix(".pack"), _CHECKSUM_BYTES)
    except OSError:
        return not index.exists()


def _last_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - count))
        return file.read(count)


def mend_empty_objects(repository: Repository) -> Mended:
    """Remove empty object files, and write anew what the workspace holds of them."""
    empty = empty_objects(repository)
    for path in empty:
        path.unlink(missing_ok=True)
    written = _write_anew(Repository(Path(repository.handle.path)), {rev_of(path) for path in empty}) if empty else ()
    return Mended(removed=tuple(empty), written=tuple(written))


def _write_anew(repository: Repository, wanted: set[Rev]) -> Iterable[Rev]:
    """Store files of the workspace that are, in the index, objects which are wanted; gives those that came out the same."""
    if repository.handle.is_bare:
        return
    with git_errors("the index can't be read"):
        submodules = {*gitlinks_of_index(repository)}
        named = [(str(entry.path), Rev(str(entry.id))) for entry in repository.handle.index]
    for path, rev in named:
        if rev in wanted and path not in submodules and (Path(repository.handle.workdir) / path).is_file():
            with git_errors(f"{path} can't be stored"):
                if str(repository.handle.create_blob_fromworkdir(path)) == rev:
                    yield rev


def _loose_objects(objects: Path) -> Iterator[tuple[Path, int]]:
    for number in range(256):
        try:
            with os.scandir(objects / f"{number:02x}") as found:
                for entry in found:
                    if len(entry.name) == _REV_DIGITS - _FAN_OUT and entry.is_file(follow_symlinks=False):
                        yield Path(entry.path), entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue


def locks_of(common_directory: Path) -> list[Path]:
    """List the locks of a repository's index, configuration and refs, those of linked worktrees among them."""
    found = [*common_directory.glob("*.lock"), *common_directory.glob("worktrees/*/*.lock")]
    return sorted([*found, *(common_directory / "refs").rglob("*.lock")])
