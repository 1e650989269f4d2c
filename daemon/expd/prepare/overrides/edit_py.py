"""Changes written into Python source: the literals that DVC reads as parameters, and nothing else.

Parameters are assignments of literals at the top level, in classes, and to `self` in `__init__`. They can be changed, not
added or deleted: where a new assignment belongs in a program is not ours to say.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from typing import TYPE_CHECKING, TypeAlias

from expd.prepare.overrides.changes import Change, Replace
from expd.prepare.overrides.errors import FormatFault
from expd.prepare.overrides.splices import Splice
from expd.prepare.overrides.values import Path, is_listing, is_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

_Parameters: TypeAlias = "dict[str, ast.expr | _Parameters]"

_LINE = re.compile(r"\r\n|\r|\n")


def load(text: str) -> object:
    """The parameters of the source as a tree; a tuple is read as a list. Raises FormatFault for what is no Python."""
    return {name: _tree(value) for name, value in _parameters(_parsed(text).body).items()}


def splicer(text: str) -> Callable[[Change, object], Splice]:
    """What turns a change of this text into a splice; raises FormatFault for anything but a replacement."""
    parameters = _parameters(_parsed(text).body)
    starts = [0, *(match.end() for match in _LINE.finditer(text))]

    def offset(line: int, column: int) -> int:
        # The column counts UTF-8 bytes.
        start = starts[line - 1]
        return start + len(text[start : start + column].encode()[:column].decode())

    def splice(change: Change, _wanted: object) -> Splice:
        if not isinstance(change, Replace):
            raise FormatFault(
                "a parameter in a Python file can be changed, not added or deleted", "edit the file itself"
            )
        node = _find(parameters, change.path)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start, end = offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)
        return Splice(start=start, end=end, text=_text(change.value, node, text[start:end]))

    return splice


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings():
        # A doubtful escape in somebody's source is no business of ours.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError) as error:
            raise FormatFault(str(error)) from None


def _parameters(body: list[ast.stmt], *, of_self: bool = False) -> _Parameters:
    found: _Parameters = {}
    for statement in body:
        match statement:
            case ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=ast.expr() as value):
                name = _name(target, of_self=of_self)
                if name is not None and _is_literal(value):
                    found[name] = value
            case ast.ClassDef(name=name):
                found[name] = _parameters(statement.body)
            case ast.FunctionDef(name="__init__"):
                found.update(_parameters(statement.body, of_self=True))
    return found


def _name(target: ast.expr, *, of_self: bool) -> str | None:
    match target:
        case ast.Name(id=name) if not of_self:
            return name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return None


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return False
    return True


def _tree(value: ast.expr | _Parameters) -> object:
    if isinstance(value, dict):
        return {name: _tree(below) for name, below in value.items()}
    literal: object = ast.literal_eval(value)
    return _listed(literal)


def _listed(literal: object) -> object:
    if isinstance(literal, dict):
        return {key: _listed(value) for key, value in literal.items()}
    return [_listed(item) for item in literal] if isinstance(literal, list | tuple) else literal


def _find(node: ast.expr | _Parameters, path: Path) -> ast.expr:
    for step in path:
        if isinstance(node, dict):
            node = node[str(step)]
        elif isinstance(node, ast.Dict):
            # Of two equal keys the last one counts.
            pairs = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if key is not None]
            node = [value for key, value in pairs if ast.literal_eval(key) == step][-1]
        elif isinstance(node, ast.List | ast.Tuple) and isinstance(step, int):
            node = node.elts[step]
    if isinstance(node, dict):
        raise FormatFault("this is a class, not a value", "override its attributes one by one")
    return node


def _text(value: object, node: ast.expr | None, old: str) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise FormatFault("Python has no literal for infinity or 'not a number'", "edit the file itself")
    if isinstance(value, str):
        return _string_text(value, old)
    if is_mapping(value):
        return (
            "{" + ", ".join(f"{_text(key, None, old)}: {_text(item, None, old)}" for key, item in value.items()) + "}"
        )
    if is_listing(value):
        items = ", ".join(_text(item, None, old) for item in value)
        if isinstance(node, ast.Tuple):
            return f"({items},)" if len(value) == 1 else f"({items})"
        return f"[{items}]"
    return repr(value)


def _string_text(text: str, old: str) -> str:
    """The string in the quotes that the old value used, where it can stand in them as it is."""
    if old.startswith('"') and not set(text) & set("\"'\\"):
        return '"' + repr(text)[1:-1] + '"'
    return repr(text)
