"""What an override can put into a parameter file, and when two trees of such values are the same.

`Value` is what the override grammar can say. A tree read from a file may hold more (a date in YAML, a set in Python), so
trees are typed as `object` and narrowed where they are walked; what nobody needs to look into is passed on untouched.
"""

from __future__ import annotations

import math
from typing import TypeAlias, TypeGuard

Scalar: TypeAlias = "bool | int | float | str | None"
Value: TypeAlias = "Scalar | list[Value] | dict[Scalar, Value]"
Path: TypeAlias = "tuple[object, ...]"

Tree: TypeAlias = "dict[object, object]"
Listing: TypeAlias = "list[object]"


def is_mapping(tree: object) -> TypeGuard[Tree]:
    """Whether this place of a tree holds named values."""
    return isinstance(tree, dict)


def is_listing(tree: object) -> TypeGuard[Listing]:
    """Whether this place of a tree holds numbered values."""
    return isinstance(tree, list)


def is_container(tree: object) -> bool:
    """Whether this place of a tree holds other places."""
    return isinstance(tree, dict | list)


def same(left: object, right: object) -> bool:
    """Whether two trees say the same to whoever reads them.

    Types count (1, 1.0 and true are three values), the order of keys does not, and "not a number" equals itself.
    """
    if type(left) is not type(right):
        return False
    if is_mapping(left) and is_mapping(right):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if is_listing(left) and is_listing(right):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return _same_float(left, right)
    return left == right


def _same_float(left: float, right: float) -> bool:
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right and math.copysign(1, left) == math.copysign(1, right)


def child(tree: object, step: object) -> object:
    """What stands at one step of a path; the step must be there."""
    if is_mapping(tree):
        return tree[step]
    assert is_listing(tree)
    assert isinstance(step, int)
    return tree[step]


def put(tree: object, step: object, value: object) -> None:
    """Let `value` stand at one step of a path."""
    if is_mapping(tree):
        tree[step] = value
        return
    assert is_listing(tree)
    assert isinstance(step, int)
    tree[step] = value


def count(tree: object, limit: int) -> int:
    """How many values the tree holds; counting ends soon after `limit`, so that a tree of aliases costs no more than that."""
    total, waiting = 0, [tree]
    while waiting and total <= limit:
        node = waiting.pop()
        total += 1
        if is_mapping(node):
            waiting.extend(node.values())
        elif is_listing(node):
            waiting.extend(node)
    return total


def copied(tree: object) -> object:
    """The tree with containers of its own; leaves are shared, because nothing here changes a leaf."""
    if is_mapping(tree):
        return {key: copied(value) for key, value in tree.items()}
    if is_listing(tree):
        return [copied(value) for value in tree]
    return tree
