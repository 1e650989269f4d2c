"""`${…}` in a definition (dvc/parsing/interpolate.py).

Promise: pure. A string that is one expression becomes the value itself, with its type; inside a longer string a value
becomes text. `\\${` is a literal `${`. A mapping inside a command becomes arguments; elsewhere only scalars fit.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from shlex import quote

from expd.pipeline.config import ParsingSettings
from expd.pipeline.documents import MismatchError, Where
from expd.pipeline.variables import Node, Variables

_EXPRESSION = re.compile(r"(?<!\\)\$\{(?P<inner>.*?)\}")
_WELL_FORMED = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[[^.\[\]]+\])*\Z")


@dataclass(slots=True)
class Used:
    """The values from files that were interpolated: file → key → value."""

    values: dict[str, dict[str, object]] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        """Note the use of a value; of a mapping DVC notes nothing."""
        origin = node.origin
        if origin is not None and origin.is_file and node.children() is None:
            self.values.setdefault(origin.source, {})[".".join(origin.keys)] = node.plain()


class Interpolator:
    """Resolves definitions with one set of variables."""

    def __init__(self, variables: Variables, parsing: ParsingSettings) -> None:
        self._variables = variables
        self._parsing = parsing
        self.used = Used()

    def resolve(self, value: object, where: Where, *, scalars_only: bool = True, in_command: bool = False) -> object:
        """The value with every expression in it replaced, in keys too."""
        if isinstance(value, Mapping):
            return {
                self._resolve_key(key, where): self.resolve(
                    child, (*where, str(key)), scalars_only=scalars_only, in_command=in_command
                )
                for key, child in value.items()
            }
        if isinstance(value, list | tuple):
            return [
                self.resolve(child, (*where, index), scalars_only=scalars_only, in_command=in_command)
                for index, child in enumerate(value)
            ]
        if isinstance(value, str):
            return self._resolve_text(value, where, scalars_only=scalars_only, in_command=in_command)
        return value

    def _resolve_key(self, key: object, where: Where) -> object:
        return self._resolve_text(key, where, scalars_only=True, in_command=False) if isinstance(key, str) else key

    def _resolve_text(self, text: str, where: Where, *, scalars_only: bool, in_command: bool) -> object:
        whole = _EXPRESSION.match(text)
        if whole is not None and whole.end() == len(text):
            node = self._select(whole, where)
            if scalars_only and not node.is_scalar():
                raise MismatchError(where, "a string, a number or a boolean", f"{text} is a {_kind(node)}")
            return node.plain()
        return self.text(text, where, in_command=in_command)

    def text(self, text: str, where: Where, *, in_command: bool = False) -> str:
        """A string with the text of every value in its place."""
        parts: list[str] = []
        end = 0
        for match in _EXPRESSION.finditer(text):
            node = self._select(match, where)
            parts += [text[end : match.start()], self._text_of(node, match[0], where, in_command=in_command)]
            end = match.end()
        return "".join([*parts, text[end:]]).replace(r"\${", "${")

    def _text_of(self, node: Node, expression: str, where: Where, *, in_command: bool) -> str:
        if node.is_scalar():
            return scalar_text(node.content)
        plain = node.plain()
        if in_command and isinstance(plain, dict):
            return " ".join(arguments(plain, self._parsing, where))
        raise MismatchError(where, "a value that has a text", f"{expression} is a {_kind(node)}")

    def node(self, value: object, where: Where) -> Node:
        """A value of `foreach` or `matrix`: what an expression names keeps its provenance."""
        if isinstance(value, Mapping):
            return Node(
                {self._key_text(key, where): self.node(child, (*where, str(key))) for key, child in value.items()}
            )
        if isinstance(value, list | tuple):
            return Node(tuple(self.node(child, (*where, index)) for index, child in enumerate(value)))
        if not isinstance(value, str):
            return Node(value)
        whole = _EXPRESSION.match(value)
        if whole is not None and whole.end() == len(value):
            return self._variables.select(_checked(whole, where), where)
        return Node(self.text(value, where))

    def _key_text(self, key: object, where: Where) -> str:
        return self.text(key, where) if isinstance(key, str) else scalar_text(key)

    def _select(self, match: re.Match[str], where: Where) -> Node:
        node = self._variables.select(_checked(match, where), where)
        self.used.add(node)
        return node


def _checked(match: re.Match[str], where: Where) -> str:
    inner = match["inner"]
    if not _WELL_FORMED.match(inner):
        raise MismatchError(where, f"an expression like ${{a.b[0]}}, not {match[0]}", r"\${ is a literal ${")
    return inner


def _kind(node: Node) -> str:
    return "list" if node.items() is not None else "mapping"


def scalar_text(value: object) -> str:
    """The text of a scalar: booleans as YAML writes them, the rest as Python does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def arguments(values: Mapping[str, object], parsing: ParsingSettings, where: Where) -> Iterator[str]:
    """A mapping as command-line arguments; nested keys are dotted, strings quoted for the shell."""
    for key, value in _flattened(values):
        if value is True:
            yield f"--{key}"
        elif value is False:
            if parsing.booleans == "boolean_optional":
                yield f"--no-{key}"
        elif isinstance(value, str):
            yield f"--{key} {quote(value)}"
        elif isinstance(value, list):
            yield from _list_arguments(key, value, parsing, where)
        else:
            yield f"--{key} {value}"


def _list_arguments(key: str, items: list[object], parsing: ParsingSettings, where: Where) -> Iterator[str]:
    for position, item in enumerate(items):
        if isinstance(item, list | dict):
            raise MismatchError(where, f"a list of scalars in '{key}'")
        text = quote(item) if isinstance(item, str) else str(item)
        yield text if position > 0 and parsing.lists != "append" else f"--{key} {text}"


def _flattened(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
