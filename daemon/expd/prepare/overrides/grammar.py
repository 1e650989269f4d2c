"""An override's text becomes a value: `[file:]operator key=value`.

Almost every override is a plain `key=scalar` or a plain `key=a,b,c`; those are read here, with one regular expression
whose answers a property test holds equal to Hydra's. Everything else goes to Hydra's own parser, which alone knows the
whole grammar (quotes, lists, casts, sweeps). No exception of that library leaves this package.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from expd.prepare.overrides.errors import OverrideError

if TYPE_CHECKING:
    import random
    from decimal import Decimal

    from expd.prepare.overrides.values import Scalar, Value

DEFAULT_FILE: Final = "params.yaml"

# Hydra's parser needs 0.8 s for a list of this length, and four times as long for twice as much; nobody types more, and a
# request must not keep the daemon busy.
TEXT_CHARS_MAX: Final = 8_192
# The parser descends once for each bracket; deeper nesting would meet Python's recursion limit somewhere less clear.
NESTING_MAX: Final = 32


class Operation(enum.Enum):
    """What an override does at its key."""

    SET = ""
    ADD = "+"
    FORCE_ADD = "++"
    DELETE = "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A sweep over listed values: `1,2`, `choice(1,2)`, `shuffle(1,2)`."""

    values: tuple[Value, ...]
    shuffled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A sweep over numbers: `range(3)`, `range(0,1,0.25)`; `stop` is not part of it, as in Python."""

    start: int | Decimal
    stop: int | Decimal
    step: int | Decimal
    shuffled: bool = False


Sweep: TypeAlias = "Choice | Range"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One override: where (`file`, `key`), what (`operation`) and with which value.

    `text` is what was typed, for messages. `value` of a deletion is what the key must hold to be deleted; None asks nothing.
    """

    text: str
    file: str
    operation: Operation
    key: str
    value: Value | Sweep

    @property
    def path(self) -> tuple[str, ...]:
        """The key's steps: `train.layers.0` is `("train", "layers", "0")`."""
        return tuple(self.key.split("."))

    @property
    def is_sweep(self) -> bool:
        """Whether this stands for several overrides."""
        return isinstance(self.value, Choice | Range)


_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_WORD = r"[A-Za-z0-9_./+%@?|*:-]+"
_PLAIN = re.compile(
    rf"(?P<operation>~|\+{{0,2}})(?P<key>{_NAME}(?:\.(?:{_NAME}|0|[1-9][0-9]*))*)(?:=(?P<value>{_WORD}(?:,{_WORD})*))?",
)
_INT = re.compile(r"[+-]?(?:0|[1-9](?:_?[0-9])*)")
_WHOLE = r"(?:0|[1-9](?:_?[0-9])*)"
_POINT = rf"(?:{_WHOLE}\.|{_WHOLE}?\.[0-9](?:_?[0-9])*)"
_FLOAT = re.compile(rf"[+-]?(?:{_POINT}|(?:{_POINT}|{_WHOLE})[eE][+-]?[0-9](?:_?[0-9])*|[iI][nN][fF]|[nN][aA][nN])")
_WORDS: Final[dict[str, Scalar]] = {"true": True, "false": False, "null": None}


def split_file(text: str) -> tuple[str, str]:
    """The file and the rest of an override: a prefix ends at the first `:`, if that comes before the first `=`."""
    head = text.partition("=")[0]
    if ":" not in head:
        return DEFAULT_FILE, text
    file, _, rest = text.partition(":")
    return file, rest


def parse(text: str, rng: random.Random | None = None, *, has_groups: bool = False) -> Override:
    """The override that `text` spells; raises OverrideError for anything that is none.

    `rng` is needed where the text itself asks for chance, as in `a=shuffle([1,2,3])`. Where params.yaml is composed it
    `has_groups`, which may be put into a package: `db@backup=mysql`.
    """
    _check_size(text)
    file, rest = split_file(text)
    if not file:
        raise OverrideError(text=text, problem="the file before ':' has no name", hint=f"write {DEFAULT_FILE}:{rest}")
    plain = _parse_plain(text, file, rest)
    return (
        plain
        if plain is not None
        else _parse_any(text, file, rest, rng, has_groups=has_groups and file == DEFAULT_FILE)
    )


def scalar(word: str) -> Scalar:
    """What one bare word means: a number, a truth value, null, or else its own characters."""
    lowered = word.lower()
    if lowered in _WORDS:
        return _WORDS[lowered]
    if _INT.fullmatch(word):
        return int(word)
    return float(word) if _FLOAT.fullmatch(word) else word


def spelled(override: Override, value: Value) -> Override:
    """The same override with this one value, and the text that somebody would type for it."""
    from expd.prepare.overrides.spelling import value_text  # noqa: PLC0415 - it reads its own output with this module

    prefix = "" if override.file == DEFAULT_FILE else f"{override.file}:"
    bare = override.operation is Operation.DELETE and value is None
    text = f"{prefix}{override.operation.value}{override.key}" + ("" if bare else f"={value_text(value)}")
    return replace(override, text=text, value=value)


def _check_size(text: str) -> None:
    if len(text) > TEXT_CHARS_MAX:
        problem = f"an override has at most {TEXT_CHARS_MAX} characters, this one has {len(text)}"
        raise OverrideError(text=text[:80] + "…", problem=problem, hint="put large values into the file itself")
    if text.count("[") + text.count("{") + text.count("(") > NESTING_MAX and _nesting(text) > NESTING_MAX:
        raise OverrideError(text=text, problem=f"brackets are nested more than {NESTING_MAX} deep")


def _nesting(text: str) -> int:
    depth = deepest = 0
    for char in text:
        depth += (char in "[{(") - (char in "]})")
        deepest = max(deepest, depth)
    return deepest


def _parse_plain(text: str, file: str, rest: str) -> Override | None:
    match = _PLAIN.fullmatch(rest)
    if match is None:
        return None
    operation, value = Operation(match["operation"]), match["value"]
    if value is None and operation is not Operation.DELETE:
        return None
    try:
        read = _plain_value(value)
    except ValueError as error:
        raise OverrideError(text=text, problem=str(error)) from None  # more digits than Python converts
    return Override(text=text, file=file, operation=operation, key=match["key"], value=read)


def _plain_value(text: str | None) -> Value | Choice:
    if text is None:
        return None
    words = text.split(",")
    return scalar(text) if len(words) == 1 else Choice(values=tuple(scalar(word) for word in words))


def _parse_any(text: str, file: str, rest: str, rng: random.Random | None, *, has_groups: bool) -> Override:
    # Hydra and what it imports take a quarter of a second: only those who need them wait for them.
    from expd.prepare.overrides import hydra_grammar  # noqa: PLC0415

    operation, key, value = hydra_grammar.parse(text, rest, rng, has_groups=has_groups)
    return Override(text=text, file=file, operation=Operation(operation), key=key, value=value)
