"""The only place in the daemon itself that imports Hydra: one override's text in, its operation, key and value in our own types out.

Facts about the library (hydra-core 1.3): a cast over several values makes a sweep; `shuffle` of a list draws from
Python's global random source while parsing, so ours is registered instead; `glob` and `interval` parse, but nothing
without Hydra's configuration groups or an optimizer can enumerate them.
"""

from __future__ import annotations

import random
import re
import threading
from decimal import Decimal
from typing import TYPE_CHECKING

from hydra._internal.grammar import grammar_functions
from hydra.core.override_parser import types
from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.errors import HydraException

from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import Choice, Range

if TYPE_CHECKING:
    from expd.prepare.overrides.values import Scalar, Value

_Argument = bool | int | float | str | list[object] | dict[object, object] | types.ChoiceSweep | types.RangeSweep

# ANTLR's generated parser learns as it goes, in tables that all threads share and none guards.
_one_at_a_time = threading.Lock()

# The shapes of its messages: a caret below the character that no token begins with, and the token that no rule wants.
_CARET = re.compile(r"^LexerNoViableAltException: .*\n {27}( *)\^$", re.MULTILINE | re.DOTALL)
_UNEXPECTED = re.compile(
    r"(?:mismatched input|extraneous input|no viable alternative at input|missing \w+ at) '(.*?)'(?= expecting|$)",
    re.MULTILINE,
)
_EVALUATING = re.compile(r"^\w+ while evaluating ")
_FRAMING = ("See https", "Error parsing override")

_OPERATIONS = {
    types.OverrideType.CHANGE: "",
    types.OverrideType.ADD: "+",
    types.OverrideType.FORCE_ADD: "++",
    types.OverrideType.DEL: "~",
}

# What the library lets through besides its own exceptions, seen with random texts.
_LIBRARY_FAULTS = (
    HydraException,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def parse(
    text: str, rest: str, rng: random.Random | None, *, has_groups: bool = False
) -> tuple[str, str, Value | Choice | Range]:
    """Operator, key and value of `rest`, the override without its file; `text` is for messages.

    A package (`group@package`) is part of the key where the file is composed and `has_groups`.
    """
    parsed = _parse_rest(text, rest, rng)
    if parsed.package is not None and not has_groups:
        raise OverrideError(text=text, problem=f"'@{parsed.package}' belongs to a config group, and this file has none")
    if not parsed.key_or_group:
        raise OverrideError(text=text, problem="the key before '=' is missing", hint="write key=value")
    package = "" if parsed.package is None else f"@{parsed.package}"
    return _OPERATIONS[parsed.type], parsed.key_or_group + package, _value(text, parsed.value())


def _parse_rest(text: str, rest: str, rng: random.Random | None) -> types.Override:
    functions = create_functions()
    functions.functions["shuffle"] = _Shuffle(rng or random.SystemRandom())
    try:
        with _one_at_a_time:
            return OverridesParser(functions=functions).parse_overrides([rest])[0]
    except _LIBRARY_FAULTS as error:
        raise OverrideError(text=text, problem=_said(rest, error), hint=_hint(rest)) from None


class _Shuffle:
    """The library's `shuffle`, drawing from a random source of ours where it would draw from Python's global one."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, *args: _Argument, **named: _Argument) -> object:
        values = args or tuple(named.values())
        if len(values) == 1 and isinstance(values[0], list):
            return self._rng.sample(values[0], len(values[0]))
        return grammar_functions.shuffle(*values)


def _value(text: str, value: object) -> Value | Choice | Range:
    match value:
        case types.ChoiceSweep():
            return Choice(values=tuple(_plain(text, item) for item in value.list), shuffled=value.shuffle)
        case types.RangeSweep():
            return _range(text, value)
        case types.IntervalSweep():
            raise OverrideError(
                text=text, problem="interval() has no list of values", hint="use range() or a list of values"
            )
        case types.Glob():
            raise OverrideError(
                text=text, problem="glob() is not supported", hint="list the values, separated by commas"
            )
        case _:
            return _plain(text, value)


def _plain(text: str, value: object) -> Value:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case types.QuotedString():
            return value.text
        case list():
            return [_plain(text, item) for item in value]
        case dict():
            return {_key(text, key): _plain(text, item) for key, item in value.items()}
        case _:
            raise OverrideError(
                text=text, problem="a sweep cannot stand inside a list or a mapping", hint="sweep whole values"
            )


def _key(text: str, key: object) -> Scalar:
    plain = _plain(text, key)
    if plain is None or isinstance(plain, list | dict):
        raise OverrideError(text=text, problem="a key is a word or a number")
    return plain


def _range(text: str, value: types.RangeSweep) -> Range:
    start, stop, step = (_number(bound) for bound in (value.start, value.stop, value.step))
    if not all(bound.is_finite() for bound in (start, stop, step) if isinstance(bound, Decimal)):
        raise OverrideError(text=text, problem="a range needs finite numbers")
    if step == 0:
        raise OverrideError(text=text, problem="a range with step 0 never ends")
    return Range(start=start, stop=stop, step=step, shuffled=value.shuffle)


def _number(bound: object) -> int | Decimal:
    if isinstance(bound, int):
        return bound
    if isinstance(bound, float | Decimal):
        # Through the exact binary value, as Hydra does it: its points and ours are then the same floats.
        return Decimal(bound)
    return 0


def _said(rest: str, error: BaseException) -> str:
    """What the library's message says, in words for somebody who never heard of its lexer."""
    said = str(error)
    if (caret := _CARET.search(said)) is not None:
        return f"it cannot be read from {rest[len(caret[1]) :]!r} on"
    if (token := _UNEXPECTED.search(said)) is not None:
        return "it ends too early" if token[1] == "<EOF>" else f"{token[1]!r} is not expected there"
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(_FRAMING)]
    return f"it cannot be read: {_EVALUATING.sub('', lines[0].strip())}" if lines else "it cannot be read"


def _hint(rest: str) -> str:
    if "=" not in rest:
        return "write key=value"
    if "[" in rest.partition("=")[0]:
        return "items of a list are named key.0, key.1"
    return "a value with '=', quotes, brackets or commas stands in quotes of its own: \"key='value'\""
