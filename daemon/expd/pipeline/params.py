"""Values out of parameter files, as DVC reads them (dvc/dependency/param.py, dvc/utils/serialize).

Promise: `.toml`, `.json` and `.py` by suffix, everything else is YAML 1.2; a Python file is parsed, never run. Keys are
dotted; a step is a key of a mapping or an index of a list, and may hold fnmatch wildcards that fit exactly one.
"""

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath

import tomli

from expd.pipeline.documents import parse_yaml
from expd.pipeline.model import MissingDependencyError, ParamsDependency, PipelineError


@lru_cache(maxsize=64)
def parse_params(text: str, path: str) -> object:
    """The content of a parameter file; `path` gives the format and is named in errors. Not to be changed: it is kept."""
    suffix = PurePosixPath(path).suffix.lower()
    try:
        if suffix == ".toml":
            return tomli.loads(text)
        if suffix == ".json":
            value: object = json.loads(text)
            return value or {}
        if suffix == ".py":
            return _python_values(ast.parse(text, filename=path).body)
    except tomli.TOMLDecodeError as error:
        raise PipelineError(path=path, expected="valid TOML", hint=str(error)) from error
    except json.JSONDecodeError as error:
        raise PipelineError(path=path, line=error.lineno, expected="valid JSON", hint=error.msg) from error
    except SyntaxError as error:
        raise PipelineError(path=path, line=error.lineno, expected="valid Python", hint=error.msg) from error
    return parse_yaml(text, path)


def read_params_file(location: str) -> object:
    """The content of the parameter file at `location`."""
    try:
        text = Path(location).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise PipelineError(path=location, expected="text in UTF-8", hint=str(error)) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingDependencyError(path=location, expected="a parameter file") from error
    except IsADirectoryError as error:
        raise PipelineError(path=location, expected="a parameter file, not a directory") from error
    return parse_params(text, location)


def select(config: object, keys: Sequence[str], path: str) -> dict[str, object]:
    """The values of those `keys` that exist, by key; with no keys the whole file, which must then be a mapping."""
    if keys:
        return {key: found[0] for key in keys if (found := _look_up(config, key, path))}
    if not isinstance(config, Mapping):
        raise PipelineError(path=path, expected="a mapping at the top, since the whole file is a dependency")
    for key in config:
        if not isinstance(key, str):
            raise PipelineError(path=path, expected=f"strings as keys at the top, not {key!r}")
    return {str(key): value for key, value in config.items()}


def observe_params(dependency: ParamsDependency) -> dict[str, object] | None:
    """The values as they are now, without those that are missing; None if there is no file."""
    if not Path(dependency.location).exists():
        return None
    return select(read_params_file(dependency.location), dependency.keys, dependency.path)


def require_params(dependency: ParamsDependency) -> dict[str, object]:
    """The values as they are now; every key must exist."""
    values = select(read_params_file(dependency.location), dependency.keys, dependency.path)
    missing = [key for key in dependency.keys if key not in values]
    if missing:
        raise MissingDependencyError(
            path=dependency.path,
            expected=f"the parameter{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            hint="a stage in dvc.yaml depends on it",
        )
    return values


def _look_up(config: object, key: str, path: str) -> list[object]:
    """The one value at a dotted key, in a list, or an empty list."""
    found = list(_walk(config, key.split(".")))
    if len(found) > 1:
        raise PipelineError(path=path, expected=f"one value for the parameter '{key}', not {len(found)}")
    return found


def _walk(value: object, steps: Sequence[str]) -> Iterator[object]:
    if not steps:
        yield value
        return
    for name, child in _children(value):
        if name == steps[0] or fnmatchcase(name, steps[0]):
            yield from _walk(child, steps[1:])


def _children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield str(key), child
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield str(index), child


def _python_values(body: Sequence[ast.stmt], *, only_self: bool = False) -> dict[str, object]:
    """Assignments of literals, classes as mappings, and `self.x = …` in `__init__`; everything else is passed over."""
    values: dict[str, object] = {}
    for statement in body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            values.update(_assignment(statement, only_self=only_self))
        elif isinstance(statement, ast.ClassDef):
            values[statement.name] = _python_values(statement.body)
        elif isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            values.update(_python_values(statement.body, only_self=True))
    return values


def _assignment(statement: ast.Assign | ast.AnnAssign, *, only_self: bool) -> dict[str, object]:
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else statement.targets
    name = _target_name(targets[0], only_self=only_self) if len(targets) == 1 else None
    if name is None or statement.value is None:
        return {}
    try:
        return {name: ast.literal_eval(statement.value)}
    except ValueError:
        return {}


def _target_name(target: ast.expr, *, only_self: bool) -> str | None:
    if isinstance(target, ast.Name) and not only_self:
        return target.id
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        return target.attr
    return None
