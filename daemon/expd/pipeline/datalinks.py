"""Data that `.dvc` files track, brought from the cache to where it belongs.

Promise: what already holds what is recorded is left as it is; nothing is removed for data that the cache lacks.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from expd.pipeline.cache import Cache
from expd.pipeline.datafiles import parse_data_file
from expd.pipeline.discovery import Discovery
from expd.pipeline.dvcignore import DvcIgnore
from expd.pipeline.gitignore import GitIgnore, find_git_root
from expd.pipeline.hashing import Hasher, Manifest, ManifestEntry
from expd.pipeline.model import DATA_FILE_SUFFIX, DataFile, Fingerprint, Output
from expd.pipeline.textfiles import read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingData:
    """Tracked data that could not be put in place; nothing that runs needs it. `path` is that of the `.dvc` file."""

    path: str
    fingerprint: Fingerprint


class DataLinks:
    """Puts tracked data in place out of one cache."""

    def __init__(self, cache: Cache, hasher: Hasher) -> None:
        self._cache = cache
        self._hasher = hasher

    def link(self, data_file: DataFile, *, is_required: bool) -> Iterator[MissingData]:
        """Bring what one file tracks, whatever is there instead; MissingObjectError for what is required and missing."""
        for out in data_file.outs:
            fingerprint = data_file.recorded.get(out.path)
            if fingerprint is not None and out.cache and not self._holds(out, fingerprint):
                yield from self._bring(data_file, out, fingerprint, is_required=is_required)

    def link_absent(self, data_file: DataFile) -> Iterator[MissingData]:
        """Bring what one file tracks and nothing stands for."""
        for out in data_file.outs:
            fingerprint = data_file.recorded.get(out.path)
            if fingerprint is not None and out.cache and not posixpath.lexists(out.location):
                yield from self._bring(data_file, out, fingerprint, is_required=False)

    def is_lacking(self, data_file: DataFile) -> bool:
        """Whether something that one file tracks is neither in place nor in the cache."""
        for out in data_file.outs:
            fingerprint = data_file.recorded.get(out.path)
            if fingerprint is not None and out.cache and not self._holds(out, fingerprint):
                self._restore_listing(data_file, out)
                if not self._cache.has(fingerprint):
                    return True
        return False

    def _holds(self, out: Output, fingerprint: Fingerprint) -> bool:
        content = self._hasher.content(out.location, legacy=fingerprint.legacy)
        return content is not None and content.fingerprint.same_content(fingerprint)

    def _bring(
        self, data_file: DataFile, out: Output, fingerprint: Fingerprint, *, is_required: bool
    ) -> Iterator[MissingData]:
        self._restore_listing(data_file, out)
        if self._cache.bring(fingerprint, Path(out.location)):
            return
        if is_required:
            raise self._cache.missing(fingerprint, f"{data_file.path} tracks it; `dvc pull` may bring it")
        yield MissingData(path=data_file.path, fingerprint=fingerprint)

    def _restore_listing(self, data_file: DataFile, out: Output) -> None:
        """A `.dvc` file that lists its files needs no manifest in the cache; we do, so it is made from the list."""
        listed = data_file.files.get(out.path)
        if listed is not None:
            entries = tuple(ManifestEntry(relpath, fingerprint) for relpath, fingerprint in listed)
            manifest = Manifest(entries)
            self._cache.store_manifest(manifest, manifest.fingerprint())


def link_all_data(root: Path, cache: Cache) -> tuple[tuple[str, ...], tuple[MissingData, ...]]:
    """Bring what the `.dvc` files below `root` track and nothing stands for, without a look at any pipeline.

    Gives the locations of all tracked data, and what the cache lacks. PipelineError for a faulty `.dvc` file.
    """
    base = posixpath.normpath(str(root.absolute()))
    links = DataLinks(cache, Hasher(checkpoint=cache.checkpoint))
    tracked: list[str] = []
    missing: list[MissingData] = []

    def read(path: str) -> list[str]:
        if not path.endswith(DATA_FILE_SUFFIX):
            return []
        data_file = parse_data_file(read_text(root / path), path, base)
        missing.extend(links.link_absent(data_file))
        locations = [out.location for out in data_file.outs]
        tracked.extend(locations)
        return locations

    Discovery(base, DvcIgnore(base), GitIgnore(find_git_root(base))).walk(read)
    return tuple(tracked), tuple(missing)
