"""The run cache: what a stage made of which inputs, whoever ran it (dvc/stage/cache.py).

Promise: keys and entries are DVC's, so each finds what the other left. A damaged entry is no entry.
"""

import hashlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

from expd.pipeline.cache import Cache
from expd.pipeline.documents import MismatchError, View, parse_yaml
from expd.pipeline.lockentry import LockEntry, read_entry
from expd.pipeline.locktext import dump_entry
from expd.pipeline.model import PipelineError, Stage

_LEFT_OUT = frozenset({"size", "nfiles"})


def is_eligible(stage: Stage, root: str, params: Mapping[str, Mapping[str, object]]) -> bool:
    """Whether runs of this stage can be looked up: inputs and outputs, all in the project, none that persists.

    `params` are the parameters by file; a file that has none is no input whose hash could be told.
    """
    if (
        not all(params.values())
        or stage.is_callback
        or stage.always_changed
        or not stage.outs
        or not (stage.deps or stage.params)
    ):
        return False
    return all(not out.persist and out.location.startswith(f"{root}/") for out in stage.outs) and not any(
        posixpath.isabs(out.path) for out in stage.outs
    )


def keeps_entries(stage: Stage, root: str, params: Mapping[str, Mapping[str, object]]) -> bool:
    """Whether a run of this stage is worth an entry: also every plain output goes to the cache."""
    return is_eligible(stage, root, params) and all(out.cache or out.kind != "out" for out in stage.outs)


def canonical_json(data: object) -> bytes:
    """JSON as DVC hashes it: sorted keys, default separators. What JSON has no word for becomes its text."""
    try:
        return json.dumps(data, sort_keys=True, default=str).encode()
    except TypeError:  # keys of several types have no order; DVC fails here
        return json.dumps(_with_text_keys(data), sort_keys=True, default=str).encode()


def _with_text_keys(data: object) -> object:
    if isinstance(data, Mapping):
        return {str(key): _with_text_keys(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_with_text_keys(item) for item in data]
    return data


def entry_key(entry: LockEntry, outs: Sequence[str]) -> str:
    """The name under which all runs with these commands, inputs and output paths are kept."""
    data = entry.to_data()
    data["outs"] = sorted(outs)
    return _digest(data)


def entry_value(entry: LockEntry) -> str:
    """The name of one such run: the same over the hashes of its outputs."""
    return _digest(entry.to_data())


def _digest(data: object) -> str:
    return hashlib.sha256(canonical_json(_without_sizes(data))).hexdigest()


def _without_sizes(data: object) -> object:
    """DVC drops these keys at every level, also where a parameter happens to have such a name."""
    if isinstance(data, Mapping):
        return {key: _without_sizes(value) for key, value in data.items() if key not in _LEFT_OUT}
    if isinstance(data, list):
        return [_without_sizes(item) for item in data]
    return data


class RunCache:
    """The entries in one cache directory."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def find(self, inputs: LockEntry, outs: Sequence[str]) -> LockEntry | None:
        """The newest run with these commands and inputs; its outputs may still be missing from the cache."""
        directory = self._directory(entry_key(inputs, outs))
        try:
            files = [(file.stat().st_mtime_ns, file) for file in directory.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _read(max(files)[1]) if files else None

    def has(self, key: str) -> bool:
        """Whether there is any run of this key."""
        directory = self._directory(key)
        return directory.is_dir() and any(directory.iterdir())

    def keep(self, entry: LockEntry) -> None:
        """Keep the entry of a run whose outputs are all in the cache; one that is there is left as it is."""
        target = self._directory(entry_key(entry, list(entry.outs))) / entry_value(entry)
        if _read(target) is None:
            self._cache.write_entry(target, dump_entry(entry).encode())

    def _directory(self, key: str) -> Path:
        return self._cache.directory / "runs" / key[:2] / key


def _read(file: Path) -> LockEntry | None:
    try:
        return read_entry(View(parse_yaml(file.read_text("utf-8"), str(file))))
    except (FileNotFoundError, UnicodeDecodeError, PipelineError, MismatchError):
        return None
