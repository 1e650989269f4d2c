"""Tracked data that its owner has edited: what `dvc commit` would write, without writing it (dvc/repo/commit.py).

Promise: the workspace is only read; the cache gains objects, and the new texts of `.dvc` files are returned, so that a
capture can hold them while the user's own files stay as they are.
"""

import posixpath
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from ruamel.yaml import YAML

from expd.pipeline.cache import Cache
from expd.pipeline.config import ParsingSettings
from expd.pipeline.contents import read_contents
from expd.pipeline.dvcignore import DvcIgnore
from expd.pipeline.gitignore import GitIgnore, find_git_root
from expd.pipeline.hashing import Content, Hasher, no_checkpoint
from expd.pipeline.links import DEFAULT_LINK_TYPES
from expd.pipeline.locktext import dumped
from expd.pipeline.memo import HashMemo
from expd.pipeline.model import DataFile, Fingerprint, Output, PipelineError
from expd.pipeline.sidebyside import Checkpoint
from expd.pipeline.textfiles import read_text


def capture_sources(
    root: Path, *, cache: Cache, memo: HashMemo | None = None, checkpoint: Checkpoint = no_checkpoint
) -> dict[str, str]:
    """Store every tracked file or directory that is not as recorded; the new text of each `.dvc` file, by its path.

    What is as recorded, but gone from the cache, is stored again. Data that is not there, and data that was imported from elsewhere, is left as it is recorded. PipelineError for a
    faulty file of DVC, ChangedWhileReadError for data that changes meanwhile.
    """
    base = posixpath.normpath(str(root.absolute()))
    ignore = DvcIgnore(base)
    contents = read_contents(base, ignore, GitIgnore(find_git_root(base)), ParsingSettings())
    hasher = Hasher(ignore=ignore, memo=memo, checkpoint=checkpoint)
    # By hard links the user's own file would become the read-only object.
    copying = Cache(cache.directory, types=DEFAULT_LINK_TYPES, shared=cache.shared, checkpoint=checkpoint)
    captured: dict[str, str] = {}
    for path, data_file in contents.data_files.items():
        changed = {}
        for out, content in () if data_file.is_import else _found(data_file, hasher):
            if not copying.has(content.fingerprint):
                copying.store_content(content, Path(out.location))
            if not content.fingerprint.same_content(data_file.recorded.get(out.path)):
                changed[out.path] = content.fingerprint
        if changed:
            captured[path] = updated_text(read_text(root / path), path, changed)
    return captured


def _found(data_file: DataFile, hasher: Hasher) -> Iterator[tuple[Output, Content]]:
    """The outputs that are there, with what they hold; those that DVC 2 recorded only if they changed since."""
    for out in data_file.outs:
        recorded = data_file.recorded.get(out.path)
        if not out.cache or (recorded is not None and recorded.legacy and _is_same(hasher, out, recorded)):
            continue
        content = hasher.content(out.location)
        if content is not None:
            yield out, content


def _is_same(hasher: Hasher, out: Output, recorded: Fingerprint) -> bool:
    content = hasher.content(out.location, legacy=recorded.legacy)
    return content is not None and content.fingerprint.same_content(recorded)


def updated_text(text: str, path: str, fingerprints: dict[str, Fingerprint]) -> str:
    """The text of a `.dvc` file with the given hashes by output path; comments and order are kept, as DVC keeps them."""
    yaml = YAML()
    yaml.default_flow_style = False
    data: object = yaml.load(text)
    outs = data.get("outs") if isinstance(data, MutableMapping) else None
    for entry in outs if isinstance(outs, list) else ():
        if isinstance(entry, MutableMapping) and entry.get("path") in fingerprints:
            _update(entry, fingerprints[str(entry["path"])])
    if data is None:
        raise PipelineError(path=path, expected="a description of tracked data")
    return dumped(yaml, data)


def _update(entry: MutableMapping[str, object], fingerprint: Fingerprint) -> None:
    facts: dict[str, object] = {"md5": fingerprint.md5, "size": fingerprint.size}
    if fingerprint.nfiles is not None:
        facts["nfiles"] = fingerprint.nfiles
    if fingerprint.isexec:
        facts["isexec"] = True
    facts["hash"] = "md5"
    for key in ("nfiles", "isexec", "files"):
        if key in entry and key not in facts:
            del entry[key]
    for key, value in facts.items():
        if entry.get(key) != value:
            entry[key] = value
