"""Who refers to what in a YAML text: needed before a value with an anchor goes, because an alias without one is no YAML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from expd.prepare.overrides.yaml_nodes import AliasNode, MappingNode, Node, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from expd.prepare.overrides.splices import Splice


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An alias, the node that it stands for, and the keys and indices that lead to that node."""

    alias: AliasNode
    target: Node
    path: tuple[ScalarNode | int, ...]


def references(root: Node) -> Iterator[Reference]:
    """Every alias with its target: the last node before it that has its anchor."""
    anchored: dict[str, tuple[Node, tuple[ScalarNode | int, ...]]] = {}
    for node, path in _walk(root, ()):
        if isinstance(node, AliasNode) and node.anchor in anchored:
            target, target_path = anchored[node.anchor]
            yield Reference(alias=node, target=target, path=target_path)
        elif node.anchor:
            anchored[node.anchor] = node, path


def is_cut_off(reference: Reference, splice: Splice) -> bool:
    """Whether the splice takes the target away, or makes another kind of value of it, and leaves the alias."""

    def taken(node: Node) -> bool:
        return splice.start <= node.start < splice.end

    kept = f"&{reference.target.anchor} " in splice.text and not isinstance(reference.target, MappingNode)
    return taken(reference.target) and not taken(reference.alias) and not kept


def _walk(node: Node, path: tuple[ScalarNode | int, ...]) -> Iterator[tuple[Node, tuple[ScalarNode | int, ...]]]:
    yield node, path
    if isinstance(node, MappingNode):
        for key, value in node.entries:
            if isinstance(key, ScalarNode):
                yield from _walk(value, (*path, key))
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.items):
            yield from _walk(item, (*path, index))
