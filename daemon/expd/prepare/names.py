"""Names of experiments: which are legal, random ones, those of a sweep, and names made from a point's values.

A name becomes a component of a Git ref, of a path, and an argument of `git` and `ssh`. Git itself accepts names that begin
with `-` (read as an option by whoever gets them next) and names that no other system can store, so the rule here is
narrower: ASCII letters, digits, `.`, `_` and `-`, at most 64 of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Container, Mapping

# A ref is a file below `refs/exps/<2>/<38>/`, with `.lock` beside it while it is written; 64 leaves room in every file
# system's 255, and in a table's column.
NAME_CHARS_MAX: Final = 64
# The words alone give some 17 000 names; a baseline with so many experiments that this often all are taken gets numbers.
RANDOM_TRIES: Final = 32

# Ours, chosen to be short, friendly and hard to misread.
ADJECTIVES: Final = tuple(
    re.findall(
        r"[a-z]+",
        """
        able agile airy alert amber ample apt arctic atomic autumn azure balmy bold brave breezy bright brisk
        bronze calm candid careful cheery chief clean clear clever coastal copper cosmic cosy crisp curious
        dapper daring dawn deft eager early earnest easy elegant even fair fancy fast fine firm fleet fluent
        fond fresh frosty gentle giant glad golden grand green handy happy hardy honest humble icy ideal indigo
        ivory jade jolly joyful keen kind large light lively lucid lucky lunar mellow merry mild mindful misty
        modest native neat nimble noble novel olive open patient placid polar polite prime proud quick quiet
        rapid ready rosy round rustic serene sharp shiny silent silver sincere sleek smart smooth snowy solar
        solid steady stellar sunny swift tidy tranquil true upbeat velvet vivid warm wise witty
        """,
    )
)
NOUNS: Final = tuple(
    re.findall(
        r"[a-z]+",
        """
        acorn anchor apple arrow aspen aurora badger bamboo basil beacon beaver birch bison bluff breeze bridge
        brook cabin canoe canyon cedar cello cliff cloud clover comet compass condor coral cove crane creek
        cricket delta dolphin dune eagle elm ember falcon fern finch fjord flute forest fox garden gecko geyser
        glacier grove gull harbor harp hawk hazel heron hill ibex iris island ivy jasmine kestrel kite koala
        lagoon lantern lark laurel lemur lily linden lotus lynx magnet magpie mango maple marten meadow mesa
        mint moss nebula newt oak oasis ocean orbit orchid osprey otter owl panda pearl pebble pelican pine
        planet plum pond poplar prairie puffin quail quartz raven reef ridge river robin sage salmon sequoia
        sparrow spruce starling stork summit swan thistle thrush tide trail tulip tundra valley violet walnut
        willow wren yarrow zebra zephyr
        """,
    )
)

_ILLEGAL = re.compile(r"[^A-Za-z0-9._-]")
_FIELD = re.compile(r"\{([^{}]*)\}")


class UnusableName(ValueError):
    """A name was refused: `name`, what is wrong with it (`problem`) and what would be accepted (`hint`)."""

    def __init__(self, *, name: str, problem: str, hint: str = "") -> None:
        super().__init__(name, problem, hint)
        self.name = name
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        said = f"{self.name!r} cannot be a name: {self.problem}"
        return f"{said} ({self.hint})" if self.hint else said


def check_name(name: str) -> str:
    """The name itself, if it may become a ref; raises UnusableName."""
    problem = _problem(name)
    if problem:
        suggestion = sanitized(sanitized(name)[:NAME_CHARS_MAX])
        raise UnusableName(
            name=name, problem=problem, hint=f"{suggestion!r} would do" if suggestion else "try letters and digits"
        )
    return name


def sanitized(text: str) -> str:
    """A legal name that resembles `text`, or the empty string where nothing of it is left."""
    legal = re.sub(rf"{_ILLEGAL.pattern}+", "-", text)
    legal = re.sub(r"\.{2,}", ".", legal).lstrip("-.")
    while legal.endswith((".", "-", ".lock")):
        legal = legal.removesuffix(".lock").rstrip(".-")
    return legal


def random_name(rng: random.Random) -> str:
    """An adjective and a noun, as in `calm-otter`."""
    return f"{rng.choice(ADJECTIVES)}-{rng.choice(NOUNS)}"


def unique_name(rng: random.Random, taken: Container[str] | Callable[[str], bool]) -> str:
    """A random name that is not `taken`: a container of names, or a function that knows."""
    is_taken = taken if callable(taken) else taken.__contains__
    name = random_name(rng)
    for _ in range(RANDOM_TRIES):
        if not is_taken(name):
            return name
        name = random_name(rng)
    number = 2
    while is_taken(f"{name}-{number}"):
        number += 1
    return f"{name}-{number}"


def sweep_names(name: str, count: int) -> list[str]:
    """`X-1` to `X-N`, the names of a sweep's points; raises UnusableName if the longest would be none."""
    check_name(f"{name}-{count}")
    return [f"{name}-{number}" for number in range(1, count + 1)]


def is_template(name: str) -> bool:
    """Whether the name has fields, as in `{train.model}-{n}`."""
    return _FIELD.search(name) is not None


def filled(template: str, values: Mapping[str, object], number: int) -> str:
    """The template with a point's values for its fields and `number` for `{n}`, made legal.

    Raises UnusableName for a field that is no key of `values`, for a brace alone, and where no legal name results.
    """

    def value(match: re.Match[str]) -> str:
        return _shown(template, match[1], values, number)

    name = sanitized(_FIELD.sub(value, template))
    if re.search(r"[{}]", _FIELD.sub("", template)):
        raise UnusableName(name=template, problem="a brace stands alone", hint="fields are written {key}")
    if not name:
        raise UnusableName(
            name=template, problem="its values leave nothing that a name can hold", hint="add a word to it"
        )
    return check_name(name)


def refilled(
    template: str | None, name: str, *, before: Mapping[str, object], after: Mapping[str, object], count: int
) -> str:
    """The name of a point whose values are others now: made anew if it was made of a template, of one of `count` points.

    What was renamed since stays as it is called. Raises UnusableName like `filled`.
    """
    if template is None or not is_template(template):
        return name
    for number in range(1, count + 1):
        try:
            if filled(template, before, number) == name:
                return filled(template, after, number)
        except UnusableName:
            return name
    return name


def _shown(template: str, field: str, values: Mapping[str, object], number: int) -> str:
    if field == "n":
        return str(number)
    if field not in values:
        known = ", ".join(f"{{{key}}}" for key in (*values, "n"))
        raise UnusableName(name=template, problem=f"no override sets {field!r}", hint=f"known here: {known}")
    value = values[field]
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _problem(name: str) -> str:
    if not name:
        return "it is empty"
    if len(name) > NAME_CHARS_MAX:
        return f"it has {len(name)} characters, and {NAME_CHARS_MAX} is the most"
    if name[0] in "-.":
        return f"it begins with {name[0]!r}"
    if ".." in name:
        return "it holds '..', which Git reads as a range"
    if name.lower().endswith(".lock"):
        return "it ends with '.lock', which Git keeps for its locks"
    if name.endswith("."):
        return "it ends with '.', which Git refuses"
    illegal = _ILLEGAL.search(name)
    return f"it holds {illegal[0]!r}" if illegal else ""
