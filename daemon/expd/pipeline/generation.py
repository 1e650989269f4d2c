"""From definitions to stages: plain ones, `foreach … do`, and `matrix` (dvc/parsing/__init__.py).

Promise: stages come in the order of the file, generated ones in the order of their values; a generated stage is named
`<group>@<key>`. Time is linear in the number of stages.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from expd.pipeline.config import ParsingSettings
from expd.pipeline.documents import View, Where
from expd.pipeline.interpolation import Interpolator, scalar_text
from expd.pipeline.locations import locate
from expd.pipeline.model import DEFAULT_PARAMS_FILE, Stage
from expd.pipeline.stages import StageFile, build_stage
from expd.pipeline.variables import Files, Node, Variables

GENERATED = "@"


class Generator:
    """Makes the stages of one dvc.yaml."""

    def __init__(self, file: StageFile, files: Files, parsing: ParsingSettings, listed: View | None) -> None:
        self._file = file
        self._files = files
        self._parsing = parsing
        variables = Variables()
        if files.read(locate(file.directory, DEFAULT_PARAMS_FILE)) is not None:
            variables = variables.with_file(View(DEFAULT_PARAMS_FILE), file.directory, files)
        if listed is not None:
            variables = variables.with_listed(listed, file.directory, files)
        self._variables = variables

    def resolve_top(self, view: View) -> View:
        """A list or mapping of the top level, resolved; any type may come out."""
        return View(self._interpolator().resolve(view.value, view.where, scalars_only=False), view.where)

    def _interpolator(self, variables: Variables | None = None) -> Interpolator:
        return Interpolator(variables or self._variables, self._parsing)

    def stages(self, name: str, definition: View) -> Iterator[Stage]:
        """The stage, or all that its definition generates."""
        entries = dict(definition.entries())
        if "foreach" in entries:
            template = dict(entries["do"].entries())
            for key, values in self._foreach(entries["foreach"]):
                yield self._stage(f"{name}{GENERATED}{key}", template, entries["do"].where, values)
        elif "matrix" in entries:
            template = {key: value for key, value in entries.items() if key != "matrix"}
            for key, values in self._matrix(entries["matrix"]):
                yield self._stage(f"{name}{GENERATED}{key}", template, definition.where, values)
        else:
            yield self._stage(name, entries, definition.where, {})

    def _stage(self, name: str, template: Mapping[str, View], where: Where, values: Mapping[str, Node]) -> Stage:
        variables = self._variables.with_reserved(values) if values else self._variables
        if "vars" in template:
            wdir = self._directory(template.get("wdir"), variables)
            variables = variables.with_listed(template["vars"], wdir, self._files, name)
        interpolator = self._interpolator(variables)
        resolved = {
            key: interpolator.resolve(view.value, view.where, in_command=key == "cmd")
            for key, view in template.items()
            if key != "vars"
        }
        return build_stage(name, View(resolved, where), self._file, interpolator.used.values)

    def _directory(self, wdir: View | None, variables: Variables) -> str:
        path = "" if wdir is None else self._interpolator(variables).text(wdir.text(), wdir.where)
        return locate(self._file.directory, path)

    def _foreach(self, view: View) -> Iterator[tuple[str, dict[str, Node]]]:
        """Key → `item` (and `key`, if it iterates over a mapping)."""
        iterated = self._interpolator().node(view.value, view.where)
        entries, items = iterated.children(), iterated.items()
        if entries is not None:
            for key, node in entries.items():
                yield key, {"item": node, "key": Node(key)}
        elif items is not None:
            by_index = any(not node.is_scalar() for node in items)
            named = {str(index) if by_index else _name(node): node for index, node in enumerate(items)}
            for key, node in named.items():
                yield key, {"item": node}
        else:
            raise view.mismatch("a list or a mapping", f"not {iterated.content!r}")

    def _matrix(self, view: View) -> Iterator[tuple[str, dict[str, Node]]]:
        """Key → `item` and `key`, for every combination, the first axis varying slowest."""
        axes = [_Axis(name, self._axis(values)) for name, values in view.entries()]
        combined: dict[str, Node] = {}
        for combination in product(*(enumerate(axis.values) for axis in axes)):
            pairs = [(axis.name, index, node) for axis, (index, node) in zip(axes, combination, strict=True)]
            key = "-".join(_name(node) if node.is_scalar() else f"{name}{index}" for name, index, node in pairs)
            combined[key] = Node({name: node for name, _, node in pairs})
        for key, item in combined.items():
            yield key, {"item": item, "key": Node(key)}

    def _axis(self, view: View) -> tuple[Node, ...]:
        items = self._interpolator().node(view.value, view.where).items()
        if items is None:
            raise view.mismatch("a list")
        return items


@dataclass(frozen=True, slots=True)
class _Axis:
    """One dimension of a matrix."""

    name: str
    values: tuple[Node, ...]


def _name(node: Node) -> str:
    """A scalar in the name of a stage. DVC writes a boolean of a file the Python way, one of dvc.yaml the YAML way."""
    return scalar_text(node.content) if node.origin is None else str(node.content)
