"""From the resolved definition of a stage to a Stage (dvc/stage/loader.py, dvc/output.py, dvc/dependency).

Promise: pure; paths are kept as DVC keeps them, repeated outputs and parameter files are merged as DVC merges them.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from expd.pipeline.documents import View
from expd.pipeline.locations import as_written, is_within, locate
from expd.pipeline.model import (
    DATA_FILE_SUFFIX,
    DEFAULT_PARAMS_FILE,
    PIPELINE_FILES,
    Commands,
    Dependency,
    Output,
    OutputKind,
    ParamsDependency,
    Stage,
)
from expd.pipeline.schema import OUT_KEYS

_OUT_LISTS: tuple[tuple[str, OutputKind], ...] = (("outs", "out"), ("metrics", "metric"), ("plots", "plot"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFile:
    """Where a dvc.yaml stands: its path from the root, and the absolute root."""

    path: str
    root: str

    @property
    def directory(self) -> str:
        """The directory it lies in, absolute."""
        return locate(self.root, posixpath.dirname(self.path))


def build_stage(
    name: str, definition: View, file: StageFile, variables: Mapping[str, Mapping[str, object]] | None = None
) -> Stage:
    """The stage of a resolved definition. MismatchError if interpolation left something that has no meaning."""
    data = {key: value for key, value in definition.entries() if key not in {"vars", "meta"}}
    wdir = locate(file.directory, data["wdir"].text() if "wdir" in data else ".")
    return Stage(
        name=name,
        dvcyaml=file.path,
        directory=file.directory,
        wdir=wdir,
        commands=_commands(data["cmd"]),
        deps=tuple(_dependency(item, file.root, wdir) for item in _items(data.get("deps"))),
        params=_params(_items(data.get("params")), file.root, wdir),
        outs=tuple(out for key, kind in _OUT_LISTS for out in _outputs(data.get(key), kind, file.root, wdir)),
        frozen="frozen" in data and data["frozen"].flag(),
        always_changed="always_changed" in data and data["always_changed"].flag(),
        description=data["desc"].text() if "desc" in data else "",
        variables=variables or {},
    )


def _items(view: View | None) -> list[View]:
    return [] if view is None else list(view.items())


def _commands(view: View) -> Commands:
    commands: Commands = view.text() if view.is_text() else view.texts()
    if not commands:
        raise view.mismatch("a command that is not empty")
    return commands


def _local_path(view: View) -> str:
    path = view.text()
    if "://" in path:
        raise view.mismatch("a path on this machine", "remote dependencies and outputs are not supported")
    if not path:
        raise view.mismatch("a path that is not empty")
    return path


def _dependency(view: View, root: str, wdir: str) -> Dependency:
    path = as_written(_local_path(view), root, wdir)
    return Dependency(path=path, location=locate(wdir, path))


def _params(items: Iterable[View], root: str, wdir: str) -> tuple[ParamsDependency, ...]:
    """The files in the order in which they first appear; one listed without keys is a dependency as a whole."""
    listed = [(file, keys) for item in items for file, keys in _listed_params(item)]
    whole = {file for file, keys in listed if not keys}
    merged: dict[str, list[str]] = {}
    for file, keys in listed:
        merged.setdefault(file, []).extend(() if file in whole else keys)
    return tuple(
        ParamsDependency(
            path=as_written(file, root, wdir), location=locate(wdir, file), keys=tuple(dict.fromkeys(keys))
        )
        for file, keys in merged.items()
    )


def _listed_params(item: View) -> Iterator[tuple[str, tuple[str, ...]]]:
    if not item.is_mapping():
        yield DEFAULT_PARAMS_FILE, (item.text(),)
        return
    for file, keys in item.entries():
        yield file, () if not keys.value else keys.texts()


def _outputs(view: View | None, kind: OutputKind, root: str, wdir: str) -> Iterator[Output]:
    merged: dict[str, tuple[View, dict[str, View]]] = {}
    for item in _items(view):
        if not item.is_mapping():
            merged.setdefault(item.text(), (item, {}))
            continue
        for path, flags in item.entries():
            merged.setdefault(path, (View(path, flags.where), {}))[1].update(flags.entries())
    for place, properties in merged.values():
        yield _output(place, properties, kind, root, wdir)


def _output(place: View, flags: Mapping[str, View], kind: OutputKind, root: str, wdir: str) -> Output:
    path = as_written(_local_path(place), root, wdir)
    location = locate(wdir, path)
    cache = flags["cache"].flag() if "cache" in flags else True
    if posixpath.basename(location) in PIPELINE_FILES or location.endswith(DATA_FILE_SUFFIX):
        raise place.mismatch("an output that is not itself a file of DVC")
    if cache and not is_within(location, root):
        raise place.mismatch("an output inside the project", "or one with `cache: false`")
    return Output(
        path=path,
        location=location,
        kind=kind,
        cache=cache,
        persist="persist" in flags and flags["persist"].flag(),
        flags={key: value.value for key, value in flags.items() if key not in {"cache", "persist", "checkpoint"}},
    )


def plot_properties(out: Output) -> dict[str, object]:
    """Those flags of a plot that say how it is drawn."""
    return {key: value for key, value in out.flags.items() if key not in OUT_KEYS}
