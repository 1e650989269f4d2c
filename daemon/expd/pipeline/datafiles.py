"""`.dvc` files: one tracked file or directory each, or a stage of the old single-file form (dvc/schema.py).

Promise: read only; every key DVC 3 accepts is accepted.
"""

import posixpath

from expd.pipeline.documents import MismatchError, View, located, parse_yaml
from expd.pipeline.locations import as_written, locate, relative
from expd.pipeline.lockentry import read_fingerprint, read_manifest
from expd.pipeline.model import Commands, DataFile, Dependency, Fingerprint, Output, OutputKind

_KEYS = frozenset(
    {"md5", "wdir", "deps", "outs", "locked", "frozen", "meta", "always_changed", "desc", "cmd", "params"}
)
_ANNOTATIONS = frozenset({"desc", "type", "labels", "meta"})
_CHECKSUMS = frozenset({"md5", "etag", "checksum", "hash"})
_FACTS = frozenset({"size", "nfiles", "isexec", "isdir", "version_id", "remote", "cloud", "files"})
_OUT_KEYS = _ANNOTATIONS | _CHECKSUMS | _FACTS | {"path", "cache", "metric", "plot", "persist", "push", "fs_config"}
_DEP_KEYS = _ANNOTATIONS | _CHECKSUMS | _FACTS | {"path", "repo", "db", "fs_config", "params", "dataset"}


def parse_data_file(text: str, path: str, root: str) -> DataFile:
    """The `.dvc` file at `path` (relative to the absolute `root`)."""
    try:
        return _read(View(parse_yaml(text, path)), path, root)
    except MismatchError as mismatch:
        raise located(mismatch, text, path) from mismatch


def _read(view: View, path: str, root: str) -> DataFile:
    data = view.record(_KEYS)
    wdir = locate(posixpath.dirname(posixpath.join(root, path)), _optional_text(data.get("wdir")) or ".")
    entries = [item.record(_OUT_KEYS, frozenset({"path"})) for item in _items(data.get("outs"))]
    outs = tuple(_output(entry, root, wdir) for entry in entries)
    recorded: dict[str, Fingerprint] = {}
    files: dict[str, tuple[tuple[str, Fingerprint], ...]] = {}
    for out, entry in zip(outs, entries, strict=True):
        fingerprint = read_fingerprint(entry)
        if fingerprint is not None:
            recorded[out.path] = fingerprint
        if "files" in entry:
            manifest = read_manifest(entry["files"], legacy="hash" not in entry)
            files[out.path] = tuple((item.relpath, item.fingerprint) for item in manifest.entries)
    return DataFile(
        path=path,
        wdir=wdir,
        outs=outs,
        recorded=recorded,
        files=files,
        deps=_dependencies(data.get("deps"), root, wdir),
        frozen=_flag(data.get("frozen")) or _flag(data.get("locked")),
        is_import=bool(_items(data.get("deps"))),
        commands=_commands(data.get("cmd")),
    )


def _items(view: View | None) -> list[View]:
    return [] if view is None or view.value is None else list(view.items())


def _output(entry: dict[str, View], root: str, wdir: str) -> Output:
    path = as_written(entry["path"].text(), root, wdir)
    kind: OutputKind = "metric" if _truth(entry.get("metric")) else "plot" if _truth(entry.get("plot")) else "out"
    return Output(
        path=path,
        location=locate(wdir, path),
        kind=kind,
        cache=_flag(entry["cache"]) if "cache" in entry else True,
        persist=_flag(entry.get("persist")),
        flags={key: value.value for key, value in entry.items() if key in _ANNOTATIONS | {"push", "remote"}},
    )


def _dependencies(view: View | None, root: str, wdir: str) -> tuple[Dependency, ...]:
    """Dependencies that lie in this project; what was imported from elsewhere was brought here when it was imported."""
    found = []
    for item in _items(view):
        entry = item.record(_DEP_KEYS)
        if "repo" in entry or "db" in entry or "path" not in entry:
            continue
        path = as_written(entry["path"].text(), root, wdir)
        if "://" not in path:
            found.append(Dependency(path=path, location=locate(wdir, path)))
    return tuple(found)


def _commands(view: View | None) -> Commands | None:
    if view is None or view.value is None:
        return None
    return view.text() if view.is_text() else view.texts()


def _optional_text(view: View | None) -> str | None:
    return None if view is None or view.value is None else view.text()


def _flag(view: View | None) -> bool:
    return view is not None and view.flag()


def _truth(view: View | None) -> bool:
    return view is not None and bool(view.value)


def describe(data_file: DataFile, root: str) -> str:
    """Where its data belongs, for messages: paths relative to the root."""
    return ", ".join(relative(out.location, root) for out in data_file.outs)
