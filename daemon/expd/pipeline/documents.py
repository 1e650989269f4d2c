"""YAML documents as DVC reads them, and a view that narrows their values and remembers where it stands.

Promise: whatever is wrong with a document becomes a PipelineError with the file, the line and what was expected.
Lines cost a second, slower parse, which only a faulty document pays for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from expd.pipeline.model import PipelineError
from expd.pipeline.plainyaml import parse_plain
from expd.pipeline.toml_nodes import offset_of

_DOCUMENTS_REMEMBERED = 128
"""A pipeline's files, and blocks of its lock; documents of megabytes are rare enough."""

Where: TypeAlias = tuple[str | int, ...]


class MismatchError(Exception):
    """A value that is not what its place requires; turned into a PipelineError where the text is known."""

    def __init__(self, where: Where, expected: str, hint: str = "") -> None:
        self.where = where
        self.expected = expected
        self.hint = hint
        super().__init__(f"{'.'.join(map(str, where))}: expected {expected}")


@lru_cache(maxsize=_DOCUMENTS_REMEMBERED)
def parse_yaml(text: str, path: str) -> object:
    """Parse one YAML 1.2 document; an empty one is an empty mapping. Duplicate keys are errors, as in DVC.

    A worker meets the same dvc.yaml at every point of a sweep: what is given may be given again, and is not to be changed.
    """
    plain = parse_plain(text)
    return parse_thoroughly(text, path) if plain is None else plain


def parse_thoroughly(text: str, path: str) -> object:
    """The same by the parser of YAML alone, whatever the text."""
    try:
        value: object = YAML(typ="safe", pure=True, plug_ins=[]).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = None if mark is None else mark.line + 1
        raise PipelineError(path=path, line=line, expected="valid YAML", hint=error.problem or "") from error
    except (YAMLError, ValueError, RecursionError) as error:  # a ValueError is a date that does not exist, and the like
        raise PipelineError(path=path, expected="valid YAML", hint=str(error)) from error
    return value or {}


def line_of(text: str, where: Where, path: str = "") -> int | None:
    """The line, from one, of the value at `where`, or of the nearest thing around it that exists; `path` tells the form."""
    if path.endswith(".toml"):
        offset = offset_of(text, where)
        return None if offset is None else text.count("\n", 0, offset) + 1
    node: Node | None = YAML(typ="rt", pure=True).compose(text)
    line: int | None = None
    for step in where:
        found = _child(node, step)
        if found is None:
            return line
        line, node = found
    return line


def _child(node: Node | None, step: str | int) -> tuple[int, Node] | None:
    """The line and node one step down."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line + 1, value
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        item = node.value[step]
        return item.start_mark.line + 1, item
    return None


def located(mismatch: MismatchError, text: str, path: str) -> PipelineError:
    """The mismatch as an error that names file and line."""
    name = ".".join(map(str, mismatch.where))
    expected = f"{mismatch.expected} at '{name}'" if name else mismatch.expected
    return PipelineError(path=path, line=line_of(text, mismatch.where, path), expected=expected, hint=mismatch.hint)


@dataclass(frozen=True, slots=True)
class View:
    """A value of a document and its place. Every method either narrows it or raises MismatchError."""

    value: object
    where: Where = ()

    def mismatch(self, expected: str, hint: str = "") -> MismatchError:
        """An error about this value."""
        return MismatchError(self.where, expected, hint)

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self.mismatch("a string")
        return self.value

    def flag(self) -> bool:
        """A boolean."""
        if not isinstance(self.value, bool):
            raise self.mismatch("true or false")
        return self.value

    def whole_number(self) -> int:
        """An integer."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.mismatch("a whole number")
        return self.value

    def items(self) -> Iterator["View"]:
        """The items of a list."""
        if not isinstance(self.value, list | tuple):
            raise self.mismatch("a list")
        return (View(item, (*self.where, index)) for index, item in enumerate(self.value))

    def entries(self) -> Iterator[tuple[str, "View"]]:
        """The entries of a mapping whose keys are strings."""
        for key, value in self.mapping().items():
            if not isinstance(key, str):
                raise View(value, (*self.where, str(key))).mismatch("a string as key")
            yield key, View(value, (*self.where, key))

    def mapping(self) -> Mapping[object, object]:
        """A mapping."""
        if not isinstance(self.value, Mapping):
            raise self.mismatch("a mapping")
        return self.value

    def record(self, known: frozenset[str], required: frozenset[str] = frozenset()) -> dict[str, "View"]:
        """A mapping with only known keys, among them every required one."""
        found = dict(self.entries())
        for key, value in found.items():
            if key not in known:
                raise value.mismatch("no such key", f"known here: {', '.join(sorted(known))}")
        for key in sorted(required - found.keys()):
            raise self.mismatch(f"a value for '{key}'")
        return found

    def texts(self) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(item.text() for item in self.items())

    def is_mapping(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.value, Mapping)

    def is_text(self) -> bool:
        """Whether it is a string."""
        return isinstance(self.value, str)
