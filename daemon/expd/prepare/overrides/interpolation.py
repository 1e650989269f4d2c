"""`${key}` in an override's value, resolved against the tree it was put into: the only place that imports OmegaConf."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.values import child, put

if TYPE_CHECKING:
    from collections.abc import Mapping

    from expd.prepare.overrides.grammar import Override
    from expd.prepare.overrides.values import Path, Tree


# `oc.env` of the library reads the environment of the process, and this one's is not the submitter's. Resolvers are global
# there, so ours takes the place of it, and each thread and task sees the environment of its own submission.
_environment: ContextVar[Mapping[str, str]] = ContextVar("environment")


def _variable(name: str, *default: object) -> object:
    try:
        return _environment.get()[name]
    except KeyError:
        if default:
            return default[0] if default[0] is None else str(default[0])
        raise KeyError(f"Environment variable '{name}' not found") from None


OmegaConf.register_new_resolver("oc.env", _variable, replace=True)


def resolve(tree: Tree, pending: list[tuple[Override, Path]], environment: Mapping[str, str]) -> None:
    """Put what is referred to in the place of each reference named in `pending`; raises OverrideError.

    Only those places change: references that the file itself holds are the training script's to resolve.
    """
    _environment.set(environment)
    found = [(path, _resolved(tree, path, override)) for override, path in pending]
    for path, value in found:
        parent: object = tree
        for step in path[:-1]:
            parent = child(parent, step)
        put(parent, path[-1], value)


def _resolved(tree: Tree, path: Path, override: Override) -> object:
    try:
        node: object = OmegaConf.create(tree, flags={"allow_objects": True})
        for step in path:
            node = _below(node, step)
        return OmegaConf.to_object(node) if isinstance(node, DictConfig | ListConfig) else node
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OverrideError(text=override.text, problem=problem, hint="write \\${…} for the text itself") from None


def _below(node: object, step: object) -> object:
    if isinstance(node, DictConfig) and isinstance(step, str | int | float):
        below: object = node[step]
        return below
    if isinstance(node, ListConfig) and isinstance(step, int):
        item: object = node[step]
        return item
    return None
