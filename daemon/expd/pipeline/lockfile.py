"""dvc.lock, schema 2.0: read, validated and written byte for byte as DVC does (dvc/stage/serialize.py, dvcfile.py).

Promise: a written file is replaced as a whole; stages that are not the one recorded keep their text, also those that
dvc.yaml no longer has.
"""

import io
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from expd.pipeline.documents import MismatchError, View, located, parse_yaml
from expd.pipeline.hashing import Manifest, ManifestEntry
from expd.pipeline.model import DEFAULT_PARAMS_FILE, Commands, Fingerprint, PipelineError

SCHEMA = "2.0"
_TOP_KEYS = frozenset({"schema", "stages", "datasets"})
_STAGE_KEYS = frozenset({"cmd", "deps", "params", "outs"})
_CHECKSUM_KEYS = frozenset({"md5", "etag", "checksum"})
_META_KEYS = frozenset({"size", "nfiles", "isexec", "version_id", "isdir", "remote"})
_FILE_KEYS = _CHECKSUM_KEYS | _META_KEYS | {"relpath", "cloud", "hash"}
_PATH_KEYS = _CHECKSUM_KEYS | _META_KEYS | {"path", "hash", "files", "cloud", "dataset"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LockEntry:
    """What one stage was when it last ended well: paths and values as dvc.lock keeps them."""

    commands: Commands
    deps: Mapping[str, Fingerprint] = field(default_factory=dict)
    params: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    outs: Mapping[str, Fingerprint] = field(default_factory=dict)

    def to_data(self) -> dict[str, object]:
        """The mapping that is written: deps and outs by path, params.yaml first, keys sorted at their top level."""
        data: dict[str, object] = {
            "cmd": self.commands if isinstance(self.commands, str) else list(self.commands),
        }
        if self.deps:
            data["deps"] = [_path_data(path, self.deps[path]) for path in sorted(self.deps)]
        if self.params:
            files = sorted(self.params, key=lambda file: (file != DEFAULT_PARAMS_FILE, file))
            data["params"] = {file: dict(sorted(self.params[file].items())) for file in files}
        if self.outs:
            data["outs"] = [_path_data(path, self.outs[path]) for path in sorted(self.outs)]
        return data


def _path_data(path: str, fingerprint: Fingerprint) -> dict[str, object]:
    """One dep or out; the order of the keys is DVC's."""
    data: dict[str, object] = {"path": path}
    if not fingerprint.legacy:
        data["hash"] = "md5"
    data["md5"] = fingerprint.md5
    if fingerprint.size is not None:
        data["size"] = fingerprint.size
    if fingerprint.nfiles is not None:
        data["nfiles"] = fingerprint.nfiles
    if fingerprint.isexec:
        data["isexec"] = True
    return data


def parse_lock(text: str, path: str) -> dict[str, LockEntry]:
    """The entries of a dvc.lock by stage name; `path` is named in errors."""
    try:
        view = View(parse_yaml(text, path))
        if view.value == {}:
            return {}
        top = view.record(_TOP_KEYS, frozenset({"schema"}))
        if top["schema"].value != SCHEMA:
            raise top["schema"].mismatch(f"the schema '{SCHEMA}'")
        stages = top["stages"].entries() if "stages" in top else iter(())
        return {name: read_entry(stage) for name, stage in stages}
    except MismatchError as mismatch:
        raise located(mismatch, text, path) from mismatch


def read_entry(view: View) -> LockEntry:
    """One stage of a dvc.lock, or one entry of the run cache, which has the same form."""
    stage = view.record(_STAGE_KEYS, frozenset({"cmd"}))
    return LockEntry(
        commands=_read_commands(stage["cmd"]),
        deps=_read_paths(stage.get("deps")),
        params=_read_params(stage.get("params")),
        outs=_read_paths(stage.get("outs")),
    )


def _read_commands(view: View) -> Commands:
    return view.text() if view.is_text() else tuple(str(item.value) for item in view.items())


def _read_params(view: View | None) -> dict[str, dict[str, object]]:
    if view is None:
        return {}
    return {file: {key: value.value for key, value in values.entries()} for file, values in view.entries()}


def _read_paths(view: View | None) -> dict[str, Fingerprint]:
    """Path → what it held; an entry without any hash is left out, as if it had never been recorded."""
    found: dict[str, Fingerprint] = {}
    for item in view.items() if view is not None else ():
        entry = item.record(_PATH_KEYS, frozenset({"path"}))
        fingerprint = read_fingerprint(entry)
        if fingerprint is not None:
            found[entry["path"].text()] = fingerprint
    return found


def read_fingerprint(entry: Mapping[str, View]) -> Fingerprint | None:
    """The hash in an entry of dvc.lock or a `.dvc` file; without `hash: md5` it is one of DVC 2."""
    legacy = "hash" not in entry
    if "files" in entry:
        return read_manifest(entry["files"], legacy=legacy).fingerprint()
    if "md5" not in entry or not entry["md5"].value:
        return None
    return Fingerprint(
        md5=str(entry["md5"].value).lower(),
        size=_number(entry.get("size")),
        nfiles=_number(entry.get("nfiles")),
        isexec="isexec" in entry and entry["isexec"].flag(),
        legacy=legacy,
    )


def read_manifest(view: View, *, legacy: bool) -> Manifest:
    """The files of a directory that are listed in place instead of its hash."""
    entries = []
    for item in view.items():
        entry = item.record(_FILE_KEYS, frozenset({"relpath", "md5"}))
        fingerprint = Fingerprint(md5=entry["md5"].text(), size=_number(entry.get("size")), legacy=legacy)
        entries.append(ManifestEntry(entry["relpath"].text(), fingerprint))
    return Manifest(tuple(sorted(entries, key=lambda entry: entry.relpath)))


def _number(view: View | None) -> int | None:
    return None if view is None else view.whole_number()


def lock_text(text: str, name: str, entry: LockEntry) -> str:
    """The text of a dvc.lock with the entry of one stage set; `text` is empty where there is no file yet."""
    yaml = YAML()
    yaml.default_flow_style = False
    loaded: object = yaml.load(text) if text.strip() else None
    data: dict[str, object] = loaded if isinstance(loaded, dict) and loaded else {"schema": SCHEMA}
    stages = data.get("stages")
    if not isinstance(stages, dict):
        stages = {}
        data["stages"] = stages
    stages[name] = entry.to_data()
    return _dumped(yaml, data)


def dump_entry(entry: LockEntry) -> str:
    """An entry alone, as a file of the run cache holds it."""
    yaml = YAML()
    yaml.default_flow_style = False
    return _dumped(yaml, entry.to_data())


def _dumped(yaml: YAML, data: object) -> str:
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def read_text(file: Path) -> str:
    """The text of the file, or nothing if there is none."""
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise PipelineError(path=str(file), expected="text in UTF-8", hint=str(error)) from error


def replace_text(file: Path, text: str) -> None:
    """Replace the file as a whole: a reader sees the old text or the new, and so does the disk after a crash."""
    partial = file.with_name(f".{file.name}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            partial.chmod(file.stat().st_mode & 0o777)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


class LockFile:
    """One dvc.lock on disk: read once, when something in it is asked for, and rewritten when a stage is recorded."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._text: str | None = None
        self._entries: dict[str, LockEntry] = {}

    def entry(self, name: str) -> LockEntry | None:
        """What is recorded of the stage."""
        self._load()
        return self._entries.get(name)

    def record(self, name: str, entry: LockEntry) -> None:
        """Set the entry of the stage, on disk before this returns."""
        before = self._load()
        after = lock_text(before, name, entry)
        if after != before:
            replace_text(Path(self.location), after)
        self._text = after
        self._entries[name] = entry

    def _load(self) -> str:
        if self._text is None:
            self._text = read_text(Path(self.location))
            self._entries = parse_lock(self._text, self.location)
        return self._text
