"""One stage in dvc.lock, schema 2.0 (dvc/stage/serialize.py); an entry of the run cache has the same form.

Promise: pure. What is read is validated against DVC's schema; what is made has DVC's order of keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from expd.pipeline.documents import View
from expd.pipeline.hashing import Manifest, ManifestEntry
from expd.pipeline.model import DEFAULT_PARAMS_FILE, Commands, Fingerprint

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
