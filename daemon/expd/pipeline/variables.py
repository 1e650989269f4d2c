"""The values that `${…}` can name (dvc/parsing/context.py): merged from files and inline, each knowing where it came from.

Promise: values are never changed in place; merging makes new ones. A key may be given once, mappings are merged key by
key. Other files are asked for through `read`, by location.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from expd.pipeline.documents import MismatchError, View, Where
from expd.pipeline.locations import locate, relative
from expd.pipeline.params import parse_params


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was read: a file (by its path from the root) or an entry of `vars`, and the keys that lead to it."""

    source: str
    is_file: bool
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A value: a scalar, a tuple of nodes, or a mapping of nodes. Without an origin it is written in dvc.yaml itself."""

    content: object
    origin: Origin | None = None

    def plain(self) -> object:
        """The value without its provenance."""
        if isinstance(self.content, dict):
            return {key: node.plain() for key, node in self.content.items()}
        if isinstance(self.content, tuple):
            return [node.plain() for node in self.content]
        return self.content

    def children(self) -> dict[str, "Node"] | None:
        """The entries of a mapping; None for anything else."""
        return self.content if isinstance(self.content, dict) else None

    def items(self) -> tuple["Node", ...] | None:
        """The items of a list; None for anything else."""
        return self.content if isinstance(self.content, tuple) else None

    def is_scalar(self) -> bool:
        """Whether it is neither a mapping nor a list."""
        return not isinstance(self.content, dict | tuple)


def make_node(value: object, origin: Origin | None) -> Node:
    """The nodes of a parsed value. Keys that are not strings can't be named, and are left out as DVC does."""
    if isinstance(value, Mapping):
        entries = {key: make_node(child, _below(origin, key)) for key, child in value.items() if isinstance(key, str)}
        return Node(entries, origin)
    if isinstance(value, list | tuple):
        return Node(tuple(make_node(child, _below(origin, str(at))) for at, child in enumerate(value)), origin)
    return Node(value, origin)


def _below(origin: Origin | None, key: str) -> Origin | None:
    return None if origin is None else replace(origin, keys=(*origin.keys, key))


class RedefinitionError(Exception):
    """A key that already has a value."""

    def __init__(self, new: Node, old: Node) -> None:
        self.key = ".".join(new.origin.keys) if new.origin else ""
        self.new_source = new.origin.source if new.origin else ""
        self.old_source = old.origin.source if old.origin else ""
        super().__init__(self.key)


def merge(into: Mapping[str, Node], update: Mapping[str, Node]) -> dict[str, Node]:
    """Both together; RedefinitionError for a key in both that is not a mapping in both."""
    merged = dict(into)
    for key, node in update.items():
        existing = merged.get(key)
        if existing is None:
            merged[key] = node
            continue
        old, new = existing.children(), node.children()
        if old is None or new is None:
            raise RedefinitionError(node, existing)
        merged[key] = Node(merge(old, new), existing.origin)
    return merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """How other files are found: the absolute root, and the reader of a location."""

    root: str
    read: Callable[[str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """What can be named at one place. `imported` holds, by file, the keys taken from it; None means all of them."""

    values: Mapping[str, Node] = field(default_factory=dict)
    imported: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()

    def with_reserved(self, values: Mapping[str, Node]) -> "Variables":
        """With the values a generated stage gets, which nothing may redefine."""
        return replace(self, values={**self.values, **values}, reserved=frozenset(values))

    def with_listed(self, listed: View, directory: str, files: Files, stage: str = "") -> "Variables":
        """With the entries of a `vars` list, seen from `directory`."""
        found = self
        for index, item in enumerate(listed.items()):
            if "${" in str(item.value):
                raise item.mismatch("no interpolation in vars")
            if item.is_text():
                found = found.with_file(item, directory, files)
            else:
                origin = Origin(f"{stage}{'.' if stage else ''}vars[{index}]", is_file=False)
                found = found.with_node(make_node(item.mapping(), origin), item)
        return found

    def with_file(self, item: View, directory: str, files: Files) -> "Variables":
        """With a file, or the keys of it that follow a colon."""
        name, _, listed = item.text().partition(":")
        keys = tuple(key for key in listed.split(",") if key) or None
        location = locate(directory, name)
        if location in self.imported:
            if keys is None and self.imported[location] is None:
                return self
            self._check_disjoint(location, keys, item)
        node = _load(location, keys, item, files)
        before = self.imported.get(location) or ()
        imported = {**self.imported, location: None if keys is None else (*before, *keys)}
        return replace(self.with_node(node, item), imported=imported)

    def _check_disjoint(self, location: str, keys: tuple[str, ...] | None, item: View) -> None:
        before = self.imported[location]
        if keys is None or before is None:
            raise item.mismatch("a file to be loaded once: whole, or by distinct keys")
        if set(keys) & set(before):
            raise item.mismatch("keys of this file that are not loaded already")

    def with_node(self, node: Node, item: View) -> "Variables":
        """With the entries of a mapping; `item` is the place that brings them in."""
        entries = node.children() or {}
        taken = sorted(self.reserved & entries.keys())
        if taken:
            raise item.mismatch(f"no value for '{taken[0]}'", "that name is reserved in generated stages")
        try:
            return replace(self, values=merge(self.values, entries))
        except RedefinitionError as error:
            raise item.mismatch(
                f"no second value for '{error.key}'", f"{error.new_source} and {error.old_source} both give one"
            ) from error

    def select(self, expression: str, where: Where) -> Node:
        """The node an expression like `a.b[0]` names."""
        node = Node(dict(self.values))
        for step in expression.replace("[", ".").replace("]", "").split("."):
            found = _step(node, step.strip())
            if found is None:
                raise MismatchError(where, f"a value for '{expression}'", "no params.yaml and no vars entry gives one")
            node = found
        return node


def _step(node: Node, name: str) -> Node | None:
    entries, items = node.children(), node.items()
    if entries is not None:
        return entries.get(name)
    try:
        return items[int(name)] if items is not None else None
    except (ValueError, IndexError):
        return None


def _load(location: str, keys: Iterable[str] | None, item: View, files: Files) -> Node:
    text = files.read(location)
    path = relative(location, files.root)
    if text is None:
        raise item.mismatch(f"the file '{path}'", "it does not exist")
    data = parse_params(text, path)
    if not isinstance(data, Mapping):
        raise item.mismatch(f"a mapping in '{path}'")
    for key in keys or ():
        if key not in data:
            raise item.mismatch(f"the key '{key}' in '{path}'")
    chosen = data if keys is None else {key: data[key] for key in keys}
    return make_node(chosen, Origin(path, is_file=True))
