"""Overrides applied to a tree of values: which tree a parameter file shall hold afterwards.

The rules are those of OmegaConf's merge in struct mode, which DVC applies: an override may set only what is there, `+` adds,
`++` does either, a mapping is merged into a mapping, a list replaces a list. Nothing here knows about text or formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import Choice, Operation, Override, Range, split_file
from expd.prepare.overrides.values import copied, is_container, is_listing, is_mapping, put

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from expd.prepare.overrides.values import Listing, Path, Tree, Value

_ABSENT = object()


def merged(tree: Tree, overrides: Sequence[Override], environment: Mapping[str, str]) -> Tree:
    """A new tree with the overrides applied, one after the other; raises OverrideError for the first that cannot be.

    `environment` is what `${oc.env:NAME}` in an override's value reads.
    """
    wanted = copied(tree)
    assert is_mapping(wanted)
    for override in overrides:
        _apply(wanted, override)
    pending = [(override, path) for override in overrides for path in _interpolations(wanted, override)]
    if pending:
        # Resolved last, as in DVC: `a=${b} b=2` gives a the new b.
        from expd.prepare.overrides import interpolation  # noqa: PLC0415 - OmegaConf is loaded only where it is needed

        interpolation.resolve(wanted, pending, environment)
    return wanted


def _apply(tree: Tree, override: Override) -> None:
    if isinstance(override.value, Choice | Range):
        raise OverrideError(text=override.text, problem="a sweep has several values, and a file can hold one")
    if override.operation is Operation.DELETE:
        _delete(tree, override)
        return
    parent = _parent(tree, override)
    step = _step(parent, override.path[-1], override)
    _put(parent, step, override.value, override)


def _parent(tree: Tree, override: Override) -> Tree | Listing:
    """The container that holds the override's key, made on the way if the operator allows it."""
    node: Tree | Listing = tree
    for depth, word in enumerate(override.path[:-1], start=1):
        step = _step(node, word, override)
        below = _get(node, step)
        if _is_reference(below):
            problem = f"'{'.'.join(override.path[:depth])}' refers to another place ({below})"
            raise OverrideError(text=override.text, problem=problem, hint="override that place instead")
        if not (is_mapping(below) or is_listing(below)):
            if override.operation is Operation.SET:
                raise _not_there(override)
            below = {}
            put(node, step, below)
        node = below
    return node


def _step(node: Tree | Listing, word: str, override: Override) -> object:
    """The key or index that a word of the path means in this container."""
    if is_listing(node):
        return _index(node, word, override)
    if word not in node and word.isdecimal() and int(word) in node:
        return int(word)
    return word


def _index(items: Listing, word: str, override: Override) -> int:
    if not word.isdecimal():
        raise OverrideError(text=override.text, problem=f"a list has no key '{word}'", hint="items are numbered from 0")
    if int(word) >= len(items):
        problem = f"the list has {len(items)} items, none is numbered {word}"
        raise OverrideError(text=override.text, problem=problem, hint="write the whole list: key=[…]")
    return int(word)


def _put(parent: Tree | Listing, step: object, value: object, override: Override) -> None:
    present = _get(parent, step)
    if override.operation is Operation.ADD and present not in (_ABSENT, None) and not is_container(value):
        plain = override.text.replace("+", "", 1)
        raise OverrideError(
            text=override.text, problem=f"'{override.key}' is there already", hint=f"to change it use {plain}"
        )
    if override.operation is Operation.SET and present is _ABSENT:
        raise _not_there(override)
    if is_container(present) and is_container(value):
        _merge(present, value, override)
    else:
        put(parent, step, copied(value))


def _merge(present: object, value: object, override: Override) -> None:
    if is_listing(present) and is_listing(value):
        present[:] = [copied(item) for item in value]
        return
    if not (is_mapping(present) and is_mapping(value)):
        problem, hint = "a list and a mapping cannot be merged", "first delete the old one with ~key, then add the new"
        raise OverrideError(text=override.text, problem=problem, hint=hint)
    for key, item in value.items():
        if key not in present and override.operation is Operation.SET:
            hint = f"to add it use ++{override.key}={{…}}"
            raise OverrideError(text=override.text, problem=f"Could not override '{override.key}.{key}'", hint=hint)
        below = present.get(key)
        if is_container(below) and is_container(item):
            _merge(below, item, override)
        else:
            present[key] = copied(item)


def _delete(tree: Tree, override: Override) -> None:
    node: object = tree
    for word in override.path[:-1]:
        node = _get(node, _step(node, word, override)) if is_mapping(node) or is_listing(node) else _ABSENT
    if is_listing(node):
        problem = "an item cannot be deleted from a list"
        raise OverrideError(text=override.text, problem=problem, hint="write the list that remains: key=[…]")
    step = _step(node, override.path[-1], override) if is_mapping(node) else ""
    if not is_mapping(node) or step not in node:
        raise OverrideError(text=override.text, problem=f"Could not delete '{override.key}': it does not exist")
    if override.value is not None and override.value != node[step]:
        raise OverrideError(
            text=override.text, problem=f"Could not delete '{override.key}': its value is {node[step]!r}"
        )
    del node[step]


def _get(node: object, step: object) -> object:
    if is_mapping(node):
        return node.get(step, _ABSENT)
    return node[step] if is_listing(node) and isinstance(step, int) else _ABSENT


def _not_there(override: Override) -> OverrideError:
    _, rest = split_file(override.text)
    prefix = override.text.removesuffix(rest)
    hint = f"To append to your config use {prefix}+{rest}"
    return OverrideError(text=override.text, problem=f"Could not override '{override.key}'", hint=hint)


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and "${" in value


def _interpolations(tree: Tree, override: Override) -> list[Path]:
    """Where this override put text that refers to other places, as far as no later override took it away."""
    if override.operation is Operation.DELETE or isinstance(override.value, Choice | Range):
        return []
    below = _references(override.value)
    try:
        path = _path(tree, override) if below else ()
    except OverrideError:
        return []  # a list is shorter now
    return [(*path, *rest) for rest in below if _is_reference(_at(tree, (*path, *rest)))]


def _path(tree: Tree, override: Override) -> Path:
    path: list[object] = []
    node: object = tree
    for word in override.path:
        step = _step(node, word, override) if is_mapping(node) or is_listing(node) else word
        path.append(step)
        node = _get(node, step)
    return tuple(path)


def _references(value: Value) -> list[Path]:
    if isinstance(value, dict):
        return [(key, *below) for key, item in value.items() for below in _references(item)]
    if isinstance(value, list):
        return [(index, *below) for index, item in enumerate(value) for below in _references(item)]
    return [()] if _is_reference(value) else []


def _at(node: object, path: Path) -> object:
    for step in path:
        node = _get(node, step)
    return node
