"""Changes written into YAML text: only the bytes of the changed value, or the line of a new or deleted key, differ.

Aliases are expanded where they stand. A value that others share through an anchor is changed alone: whoever used the anchor
gets its old value written out, because an override names one key and must not change another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError, YAMLWarning

from expd.pipeline.plainyaml import parse_plain
from expd.prepare.overrides.changes import Change, Delete, Insert
from expd.prepare.overrides.errors import FormatFault
from expd.prepare.overrides.splices import Splice, line_break, line_end, line_start, next_line
from expd.prepare.overrides.values import Path, child, is_listing, is_mapping
from expd.prepare.overrides.yaml_anchors import Reference, is_cut_off, references
from expd.prepare.overrides.yaml_nodes import AliasNode, MappingNode, Node, ScalarNode, SequenceNode, read_nodes
from expd.prepare.overrides.yaml_text import entry_text, flow_text, items_text, scalar_text

if TYPE_CHECKING:
    from collections.abc import Callable


# What the reader lets through besides its own errors, seen with random texts: tags whose values do not fit them.
_READER_FAULTS = (YAMLError, YAMLWarning, ValueError, TypeError, LookupError, AttributeError, AssertionError)


def load(text: str) -> object:
    """The tree that YAML 1.2 reads from the text, None for an empty one; raises FormatFault."""
    plain = parse_plain(text)
    if plain is not None:
        return plain
    reader = YAML(typ="safe", pure=True, plug_ins=[])
    # An anchor that is used again is the newer value from there on, for every reader; nothing to warn the daemon's log of.
    reader.composer.warn_double_anchors = False
    try:
        return reader.load(text)
    except _READER_FAULTS as error:
        raise FormatFault(_first_lines(error)) from None


def splicer(text: str) -> Callable[[Change, object], Splice]:
    """What turns a change of this text into a splice; its second argument is the whole tree that is wanted."""
    root = read_nodes(text)

    def splice(change: Change, wanted: object) -> Splice:
        return _Editor(text, root, wanted).splice(change)

    return splice


def _first_lines(error: Exception) -> str:
    said = str(error).replace('in "<unicode string>", ', "at ")
    return " ".join(said.split("\n\n")[0].split())


class _Editor:
    """One text, its nodes, and the tree it shall hold."""

    def __init__(self, text: str, root: Node | None, wanted: object) -> None:
        self._text = text
        self._root = root
        self._wanted = wanted

    def splice(self, change: Change) -> Splice:
        if self._root is None or (isinstance(self._root, ScalarNode) and not self._root.value):
            return self._first_entry(change)
        if not isinstance(self._root, MappingNode):
            raise FormatFault("the file holds no named values", "its top level must be a mapping")
        splice = self._splice(change)
        cut_off = next((one for one in references(self._root) if is_cut_off(one, splice)), None)
        return splice if cut_off is None else self._expand(cut_off)

    def _splice(self, change: Change) -> Splice:
        node, depth = self._deepest(change.path)
        if isinstance(change, Insert) and depth == len(change.path) - 1 and isinstance(node, MappingNode):
            return self._insert(node, change.path[-1], change.value)
        if isinstance(change, Delete) and depth == len(change.path):
            return self._delete(change.path)
        if depth == len(change.path) or isinstance(node, AliasNode):
            return self._replace(node, self._wanted_at(change.path[:depth]))
        if isinstance(change, Delete) or not isinstance(node, MappingNode):
            hint = "delete it where it is written, or write the mapping out"
            raise FormatFault("it comes from a merged mapping (<<), not from this one", hint)
        # The key is inherited through `<<`: writing it here hides the inherited one.
        return self._insert(node, change.path[depth], self._wanted_at(change.path[: depth + 1]))

    def _expand(self, reference: Reference) -> Splice:
        """The alias as the value that it stands for, so that what it refers to may go; the change itself comes after."""
        value = load(self._text)
        for step in reference.path:
            value = child(value, step if isinstance(step, int) else _key_of(step))
        return Splice(start=reference.alias.start, end=reference.alias.end, text=flow_text(value))

    def _deepest(self, path: Path) -> tuple[Node, int]:
        """The deepest node on the path that this text writes out, and how many steps lead to it."""
        assert self._root is not None
        node, depth = self._root, 0
        while depth < len(path):
            below = _below(node, path[depth])
            if below is None:
                break
            node, depth = below, depth + 1
        return node, depth

    def _wanted_at(self, path: Path) -> object:
        tree = self._wanted
        for step in path:
            tree = child(tree, step)
        return tree

    def _first_entry(self, change: Change) -> Splice:
        newline = line_break(self._text)
        lead = newline if self._text and not self._text.endswith("\n") else ""
        entry = entry_text(change.path[0], self._wanted_at(change.path[:1]), 0, newline)
        return Splice(start=len(self._text), end=len(self._text), text=lead + entry + newline)

    def _insert(self, node: MappingNode, key: object, value: object) -> Splice:
        if node.flow:
            return self._insert_flow(node, f"{scalar_text(key)}: {flow_text(value)}")
        column = self._column(node.entries[0][0].start)
        newline = line_break(self._text)
        at = line_end(self._text, node.end)
        return Splice(start=at, end=at, text=newline + " " * column + entry_text(key, value, column, newline))

    def _insert_flow(self, node: MappingNode, entry: str) -> Splice:
        at = node.entries[-1][1].end if node.entries else node.body + 1
        return Splice(start=at, end=at, text=f", {entry}" if node.entries else entry)

    def _delete(self, path: Path) -> Splice:
        parent, _ = self._deepest(path[:-1])
        assert isinstance(parent, MappingNode)
        entries = parent.entries
        index = next(at for at, (key, _) in enumerate(entries) if _is_key(key, path[-1]))
        key, value = entries[index]
        if len(entries) == 1:
            return self._replace(parent, {})
        if parent.flow and index:
            return Splice(start=entries[index - 1][1].end, end=value.end, text="")
        own_line = not self._text[line_start(self._text, key.start) : key.start].strip()
        if parent.flow or not own_line:
            return Splice(start=key.start, end=entries[1][0].start, text="")
        return Splice(start=line_start(self._text, key.start), end=next_line(self._text, value.end), text="")

    def _replace(self, node: Node, value: object) -> Splice:
        if isinstance(node, SequenceNode) and not node.flow and is_listing(value) and value:
            new = items_text(value, self._column(node.body), line_break(self._text))
            return Splice(start=node.body, end=node.end, text=new)
        anchor = f"&{node.anchor} " if node.anchor and not isinstance(node, AliasNode) else ""
        new = anchor + (
            flow_text(value) if is_mapping(value) or is_listing(value) else scalar_text(value, _quotes(node))
        )
        if node.start == node.end:
            return self._fill(node, new)
        if isinstance(node, MappingNode | SequenceNode) and not node.flow and node.after < node.start:
            # What stands between the key and its block is a comment to keep.
            between = self._text[node.after : node.start].rstrip()
            return Splice(start=node.after, end=node.end, text=f" {new}{between}")
        return Splice(start=node.start, end=node.end, text=new)

    def _fill(self, node: Node, new: str) -> Splice:
        bare_flow_key = self._text[node.after - 1] not in ":-?"
        return Splice(start=node.after, end=node.after, text=f": {new}" if bare_flow_key else f" {new}")

    def _column(self, index: int) -> int:
        return index - line_start(self._text, index)


def _below(node: Node, step: object) -> Node | None:
    if isinstance(node, MappingNode):
        return next((value for key, value in node.entries if _is_key(key, step)), None)
    if isinstance(node, SequenceNode) and isinstance(step, int):
        return node.items[step]
    return None


def _is_key(node: Node, step: object) -> bool:
    if not isinstance(node, ScalarNode):
        return False
    if isinstance(step, str):
        return node.value == step
    return _key_of(node) == step


def _key_of(node: ScalarNode) -> object:
    return node.value if node.style else load(node.value)


def _quotes(node: Node) -> str | None:
    return node.style if isinstance(node, ScalarNode) and node.style in {"'", '"'} else None
