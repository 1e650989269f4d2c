"""What differs between two trees, as the least that has to be written: the link between values and text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from expd.prepare.overrides.values import is_listing, is_mapping, same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from expd.prepare.overrides.values import Path, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """The value at `path`, which is there, becomes `value`."""

    path: Path
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """The mapping at `path[:-1]` gets a new last key `path[-1]`."""

    path: Path
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """The mapping at `path[:-1]` loses the key `path[-1]`."""

    path: Path


Change: TypeAlias = "Replace | Insert | Delete"


def changes(old: object, new: object, path: Path = ()) -> Iterator[Change]:
    """The changes that turn `old` into `new`, in the order of the old keys, new keys last."""
    if is_mapping(old) and is_mapping(new):
        yield from _mapping_changes(old, new, path)
    elif is_listing(old) and is_listing(new) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from changes(before, after, (*path, index))
    elif not same(old, new):
        yield Replace(path=path, value=new)


def _mapping_changes(old: Tree, new: Tree, path: Path) -> Iterator[Change]:
    for key, before in old.items():
        if key in new:
            yield from changes(before, new[key], (*path, key))
        else:
            yield Delete(path=(*path, key))
    for key, after in new.items():
        if key not in old:
            yield Insert(path=(*path, key), value=after)
