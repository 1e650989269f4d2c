"""`${key}` in an override's value, resolved against the tree it was put into: the only place that imports OmegaConf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.values import child, put

if TYPE_CHECKING:
    from expd.prepare.overrides.grammar import Override
    from expd.prepare.overrides.values import Mapping, Path


def resolve(tree: Mapping, pending: list[tuple[Override, Path]]) -> None:
    """Put what is referred to in the place of each reference named in `pending`; raises OverrideError.

    Only those places change: references that the file itself holds are the training script's to resolve.
    """
    found = [(path, _resolved(tree, path, override)) for override, path in pending]
    for path, value in found:
        parent: object = tree
        for step in path[:-1]:
            parent = child(parent, step)
        put(parent, path[-1], value)


def _resolved(tree: Mapping, path: Path, override: Override) -> object:
    try:
        node: object = OmegaConf.create(tree, flags={"allow_objects": True})
        for step in path:
            node = _below(node, step)
        return OmegaConf.to_object(node) if isinstance(node, DictConfig | ListConfig) else node
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OverrideError(text=override.text, problem=problem, hint="write \\\\${…} for the text itself") from None


def _below(node: object, step: object) -> object:
    if isinstance(node, DictConfig) and isinstance(step, str | int | float):
        below: object = node[step]
        return below
    if isinstance(node, ListConfig) and isinstance(step, int):
        item: object = node[step]
        return item
    return None
