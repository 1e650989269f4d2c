"""The quick way through the table of arguments, for what people type all day.

Without argparse, whose import and first use cost a third of a submission. It gives None wherever argparse might see it
differently; `parser` then reads the same table.
"""

from __future__ import annotations

from expctl.arguments import Arguments, Option, Verb
from expctl.options import SHARED

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_MANY = 1 << 30
_LENGTHS = {"": range(1), "?": range(2), "+": range(1, _MANY), "*": range(_MANY)}
"""How many words there may be."""


def quick(verb: Verb, words: Sequence[str]) -> Arguments | None:
    """Read flags, options with a text after them, and one list of words; None if anything else is there."""
    count = _count_of(verb)
    if count is None:
        return None
    options = {flag: option for option in (*verb.options, *SHARED) for flag in option.flags}
    arguments, loose, rest = _defaults(verb), list[str](), iter(words)
    for word in rest:
        option = options.get(word)
        if option is not None:
            if not _take(arguments, option, rest):
                return None
        elif word.startswith("-"):
            return None
        else:
            loose.append(word)
    if len(loose) not in _LENGTHS[count]:
        return None
    if count == "?":
        setattr(arguments, verb.positionals[0].name, loose[0] if loose else None)
    elif verb.positionals:
        setattr(arguments, verb.positionals[0].name, loose)
    return arguments


def _count_of(verb: Verb) -> str | None:
    """Tell how many words a verb takes, as argparse has it, "" for none; None where it takes several kinds, or chooses."""
    if not verb.positionals:
        return ""
    first = verb.positionals[0]
    is_simple = len(verb.positionals) == 1 and first.read is None and not first.choices
    return first.count if is_simple and first.count in {"*", "+", "?"} else None


def _defaults(verb: Verb) -> Arguments:
    arguments = Arguments()
    for option in (*verb.options, *SHARED):
        default: object = [] if option.is_list else None if option.metavar else False
        setattr(arguments, option.name, default)
    return arguments


def _take(arguments: Arguments, option: Option, rest: Iterator[str]) -> bool:
    """Set one option; False where its value is missing, needs reading, or looks like an option itself."""
    if option.metavar is None:
        setattr(arguments, option.name, True)
        return True
    value = next(rest, "-")
    if option.read or value.startswith("-"):
        return False
    if option.is_list:
        getattr(arguments, option.name).append(value)
    else:
        setattr(arguments, option.name, value)
    return True
