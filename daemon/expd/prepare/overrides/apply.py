"""Overrides carried out on the bytes of a parameter file: `edit`.

The tree that the file shall hold is computed first, from values alone; then the text is changed where the two differ, and
read again. What comes out either says exactly what was wanted or is not returned: there is no half-done file.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, TypeAlias

from expd.prepare.overrides import edit_json, edit_py, edit_toml, edit_yaml
from expd.prepare.overrides.changes import Change, changes
from expd.prepare.overrides.errors import FormatFault, OverrideError
from expd.prepare.overrides.merge import merged
from expd.prepare.overrides.splices import Splice, spliced
from expd.prepare.overrides.values import Tree, count, is_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from expd.prepare.overrides.grammar import Override

# Every round writes at least one change, and a table goes in as many rounds as it has parts. What needs more is a text that
# fights back (anchors within anchors), and no larger number would help it.
ROUNDS_MAX: Final = 200
# A sweep edits the same few files at every point: they are read once. A handful of trees is no memory to speak of.
READ_TEXTS_KEPT: Final = 8

# Parameters that people keep are some kilobytes; the YAML reader takes about 200 kB a second, so this much five seconds.
CONTENT_BYTES_MAX: Final = 1_048_576
# A few aliases of aliases ("billion laughs") can stand for more values than any memory holds; no file of the size above does.
VALUES_MAX: Final = 1_000_000

Splicer: TypeAlias = "Callable[[Change, object], Splice]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """How one kind of file is read and changed; `shaped` turns a wanted tree into one that this kind can hold."""

    load: Callable[[str], object]
    splicer: Callable[[str], Splicer]
    shaped: Callable[[object], object]


def _as_it_is(tree: object) -> object:
    return tree


_YAML: Final = _Format(load=edit_yaml.load, splicer=edit_yaml.splicer, shaped=_as_it_is)
_FORMATS: Final = {
    ".json": _Format(load=edit_json.load, splicer=edit_json.splicer, shaped=edit_json.with_string_keys),
    ".toml": _Format(load=edit_toml.load, splicer=edit_toml.splicer, shaped=edit_json.with_string_keys),
    ".py": _Format(load=edit_py.load, splicer=edit_py.splicer, shaped=_as_it_is),
}


def edit(
    path: str, content: bytes, overrides: Sequence[Override], *, environment: Mapping[str, str] | None = None
) -> bytes:
    """The content of the file at `path` with the overrides applied in order, each to one key of it.

    `path` decides the format by its suffix; what is not JSON, TOML or Python is YAML, as it is for DVC. Only bytes of changed
    values differ. `environment` is what `${oc.env:NAME}` in an override reads: the submitter's, never this process's own.
    Raises OverrideError where an override does not fit the file, or the file cannot be read or changed.
    """
    if not overrides:
        return content
    suffix = PurePosixPath(path).suffix.lower()
    bom, text = _decoded(path, content)
    try:
        return bom + _edited(suffix, text, overrides, environment or {}).encode()
    except FormatFault as fault:
        raise OverrideError(text=path, problem=fault.problem, hint=fault.hint) from None
    except RecursionError:
        raise OverrideError(text=path, problem="its values contain themselves, or are nested too deep") from None
    except UnicodeEncodeError:
        raise OverrideError(text=overrides[-1].text, problem="a value is no Unicode text") from None


def _decoded(path: str, content: bytes) -> tuple[bytes, str]:
    if len(content) > CONTENT_BYTES_MAX:
        raise OverrideError(text=path, problem=f"the file has more than {CONTENT_BYTES_MAX} bytes")
    bom = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    try:
        return bom, content[len(bom) :].decode()
    except UnicodeDecodeError as error:
        raise OverrideError(text=path, problem=f"the file is not UTF-8 (byte {error.start})") from None


def _edited(suffix: str, text: str, overrides: Sequence[Override], environment: Mapping[str, str]) -> str:
    syntax = _FORMATS.get(suffix, _YAML)
    tree = _read(suffix, text)
    wanted = syntax.shaped(merged(tree, overrides, environment))
    current: object = tree
    todo: list[Change] = []
    for _ in range(ROUNDS_MAX):
        todo = list(changes(current, wanted))
        if not todo:
            return text
        try:
            text = spliced(text, _splices(_splicer(suffix, text), todo, wanted))
        except FormatFault as fault:
            raise _refused(todo[0], overrides, fault) from None
        try:
            current = _mapping(syntax.load(text))
        except FormatFault:
            break  # what its reader says now is about a text that nobody has seen
    raise _refused(
        todo[0], overrides, FormatFault("the file's structure does not allow this change", "edit the file itself")
    )


@functools.lru_cache(maxsize=READ_TEXTS_KEPT)
def _read(suffix: str, text: str) -> Tree:
    tree = _mapping(_FORMATS.get(suffix, _YAML).load(text))
    if count(tree, VALUES_MAX) > VALUES_MAX:
        raise FormatFault(f"the file stands for more than {VALUES_MAX} values")
    return tree


@functools.lru_cache(maxsize=READ_TEXTS_KEPT)
def _splicer(suffix: str, text: str) -> Splicer:
    return _FORMATS.get(suffix, _YAML).splicer(text)


def _mapping(tree: object) -> Tree:
    if tree is None:
        return {}
    if not is_mapping(tree):
        raise FormatFault("the file holds no named values", "its top level must be a mapping")
    return tree


def _splices(splicer: Splicer, todo: list[Change], wanted: object) -> Iterator[Splice]:
    yield splicer(todo[0], wanted)
    for change in todo[1:]:
        # What the first change stands in the way of comes again in the next round.
        with contextlib.suppress(FormatFault):
            yield splicer(change, wanted)


def _refused(change: Change, overrides: Sequence[Override], fault: FormatFault) -> OverrideError:
    """The fault with the override that it belongs to: the one whose key leads to the change, else the last."""
    words = [str(step) for step in change.path]
    for override in overrides:
        shared = min(len(words), len(override.path))
        if list(override.path[:shared]) == words[:shared]:
            return OverrideError(text=override.text, problem=fault.problem, hint=fault.hint)
    return OverrideError(text=overrides[-1].text, problem=fault.problem, hint=fault.hint)
