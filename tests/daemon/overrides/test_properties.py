"""What holds for any document: one override changes one value and one line, in every format.

Documents are drawn as text, in the ways in which people write them; what they say is asked of the format's own reader, never
of the code under test.
"""

from __future__ import annotations

import copy
import itertools
import json
from typing import TYPE_CHECKING, Final

import tomli
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from expd.prepare.overrides.apply import edit
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import parse
from expd.prepare.overrides.spelling import value_text
from expd.prepare.overrides.values import child, is_container, is_listing, is_mapping, put, same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from expd.prepare.overrides.values import Scalar, Value

# A document costs some milliseconds, most of them in the reader that checks the result; nine properties shall end in 20 s.
BRIEF: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)

KEYS: Final = ["a", "b", "lr", "model_name", "x-y", "Z9", "yes", "on"]
TEXTS: Final = [
    "",
    "x",
    "hello world",
    "it's",
    'say "hi"',
    "a: b",
    "a #b",
    "#",
    "- a",
    "12:30",
    "012",
    "1e3",
    "yes",
    "null",
    "~",
    "é😀",
    "a\nb",
    "\t",
    "\\n",
    " x ",
    "[a",
    "{",
    "&a",
    "*a",
    "!t",
    "%",
    "@x",
    "`",
    "'",
    '"',
    "\u2028",
    "\x7f",
    "1992-11-20",
    "0x1f",
    ".5",
    "=",
    "<<",
    "?",
    "-",
    "://",
    "end\\",
]
SCALARS: Final[st.SearchStrategy[Value]] = (
    st.sampled_from([*TEXTS]) | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
)
VALUES: Final[st.SearchStrategy[Value]] = SCALARS | st.lists(SCALARS, max_size=3)

NAMES: Final[st.SearchStrategy[Scalar]] = st.sampled_from(KEYS)
MAPPINGS: Final[st.SearchStrategy[Value]] = st.dictionaries(NAMES, SCALARS, max_size=2)

YAML_SCALARS: Final = ["1", "0.1", "1e-3", "-.inf", "1_000", "true", "False", "null", "~", "", "plain", "two words", "it's", "http://x/y", "'quo''ted'", '"dou\\"ble # x"', "é😀", "12:30", "!!str 5", "2020-01-01", "'#'", '"\\u00e9"', "a#b", "x-y"]  # fmt: skip
# Stands in every line of a drawn text of several lines, and nowhere else.
BLOCK: Final = "block"
COMMENTS: Final = ["", "", "", "  # note", " # é: [1, 2] - 'x'"]


@st.composite
def yaml_documents(draw: st.DrawFn) -> str:
    """Block mappings with everything that can stand in them, and comments and blank lines between."""
    newline = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    lines = draw(st.sampled_from([[], ["# head"], ["---"], ["# é", "", "---"]])) + draw(_yaml_mapping(0, 2))
    ending = draw(st.sampled_from([newline, "", newline * 2, newline + "# tail" + newline]))
    return newline.join(lines) + ending


@st.composite
def _yaml_mapping(draw: st.DrawFn, indent: int, depth: int) -> list[str]:
    lines: list[str] = []
    for key in draw(st.lists(st.sampled_from(KEYS), unique=True, min_size=1, max_size=4)):
        lines += draw(st.sampled_from([[], [], [], [""], [" " * indent + "# about"]]))
        head, *below = draw(_yaml_value(indent, depth))
        quote = draw(st.sampled_from(["", "", "", '"', "'"]))
        lines += [f"{' ' * indent}{quote}{key}{quote}:{head}", *below]
    return lines


def _yaml_value(indent: int, depth: int) -> st.SearchStrategy[list[str]]:
    simple = st.builds(
        lambda text, note: [f" {text}".rstrip() + note], st.sampled_from(YAML_SCALARS), st.sampled_from(COMMENTS)
    )
    flow = st.builds(lambda text, note: [f" {text}{note}"], _yaml_flow(2), st.sampled_from(COMMENTS))
    if not depth:
        return simple | flow
    return simple | flow | _yaml_block(indent) | _yaml_nested(indent, depth) | _yaml_sequence(indent, depth)


def _yaml_flow(depth: int) -> st.SearchStrategy[str]:
    word = st.sampled_from(["1", "0.5", "x", "'a, b'", '"}"', "true", "null"])
    if not depth:
        return word
    inner = _yaml_flow(depth - 1)
    mapping = st.dictionaries(st.sampled_from(KEYS), inner, max_size=3).map(
        lambda pairs: "{" + ", ".join(f"{key}: {text}" for key, text in pairs.items()) + "}"
    )
    return word | mapping | st.lists(inner, max_size=3).map(lambda items: "[ " + ",  ".join(items) + "]")


@st.composite
def _yaml_block(draw: st.DrawFn, indent: int) -> list[str]:
    style = draw(st.sampled_from([" |", " >", " |-", " >-  # why", " |2"]))
    body = [
        " " * (indent + 2) + text
        for text in draw(
            st.lists(
                st.sampled_from([BLOCK, f"# no comment {BLOCK}", f"- a: {BLOCK}", f"é {BLOCK}"]), min_size=1, max_size=3
            )
        )
    ]
    return [style, *body, *draw(st.sampled_from([[], [""]]))]


@st.composite
def _yaml_nested(draw: st.DrawFn, indent: int, depth: int) -> list[str]:
    step = draw(st.sampled_from([2, 4]))
    return [draw(st.sampled_from(COMMENTS)), *draw(_yaml_mapping(indent + step, depth - 1))]


@st.composite
def _yaml_sequence(draw: st.DrawFn, indent: int, depth: int) -> list[str]:
    dash = " " * (indent + draw(st.sampled_from([0, 2]))) + "-"
    lines = [draw(st.sampled_from(COMMENTS))]
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            head, *below = draw(_yaml_mapping(len(dash) + 1, depth - 1))
            lines += (
                [f"{dash} {head.lstrip()}", *below]
                if head.strip() and not head.lstrip().startswith("#")
                else [dash + " 1"]
            )
        else:
            lines.append(dash + f" {draw(st.sampled_from(YAML_SCALARS))}".rstrip() + draw(st.sampled_from(COMMENTS)))
    return lines


def paths(tree: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Every place of the tree that an override can name."""
    if path:
        yield path
    if is_mapping(tree):
        for key, value in tree.items():
            if isinstance(key, str) and " " not in key:
                yield from paths(value, (*path, key))
    elif is_listing(tree):
        for index, value in enumerate(tree):
            yield from paths(value, (*path, index))


def check_one_override(path: str, text: str, load: Callable[[str], object], data: st.DataObject) -> None:
    """Draw a place and a value, override it, and hold the result against the promise."""
    tree = load(text)
    assume(tree)
    place = data.draw(st.sampled_from(list(paths(tree))))
    value = data.draw(VALUES)
    old = _at(tree, place)
    assume(not (is_mapping(old) and is_container(value)))
    wanted = _with(tree, place, value)
    note(f"{text!r} {place} = {value!r}")

    written = _edited(path, text, f"{'.'.join(map(str, place))}={value_text(value)}", value)

    assert same(load(written), wanted)
    assert _lines_changed(text, written) <= _lines_of(text, old)
    assert _edited(path, written, f"{'.'.join(map(str, place))}={value_text(value)}", value) == written


def check_one_addition(path: str, text: str, load: Callable[[str], object], data: st.DataObject) -> None:
    """Draw a mapping and add a key to it; no line of the text goes, except the one a flow mapping stands in."""
    # A block of text that ends the file without a line break gets one from any key behind it, and must be written anew.
    assume(text.endswith("\n") or BLOCK not in text)
    tree = load(text)
    places = [place for place in ((), *paths(tree)) if is_mapping(_at(tree, place))]
    place = (*data.draw(st.sampled_from(places)), "brand_new")
    value = data.draw(VALUES | MAPPINGS)
    wanted = _with(tree, place, value)
    note(f"{text!r} +{place} = {value!r}")

    written = _edited(path, text, f"+{'.'.join(map(str, place))}={value_text(value)}", value)

    assert same(load(written), wanted)
    assert _lines_changed(text, written) <= 1


def check_one_deletion(path: str, text: str, load: Callable[[str], object], data: st.DataObject) -> None:
    """Draw a key and delete it; everything else keeps its value."""
    tree = load(text)
    assume(tree)
    place = data.draw(st.sampled_from([place for place in paths(tree) if isinstance(place[-1], str)]))
    wanted = copy.deepcopy(tree)
    parent = _at(wanted, place[:-1])
    assert is_mapping(parent)
    del parent[place[-1]]
    note(f"{text!r} ~{place}")

    written = _edited(path, text, f"~{'.'.join(map(str, place))}", "")

    assert same(load(written) or {}, wanted)


def _at(tree: object, place: tuple[object, ...]) -> object:
    for step in place:
        tree = child(tree, step)
    return tree


def _edited(path: str, text: str, override: str, value: Value) -> str:
    """The text with the override; a value that the format cannot hold ends the example, if that is what is said."""
    try:
        return edit(path, text.encode(), [parse(f"{path}:{override}")]).decode()
    except OverrideError as error:
        assume(not (error.problem == "TOML has no null" and _holds_null(value)))
        raise


def _holds_null(value: Value) -> bool:
    return (
        value is None
        or (isinstance(value, list) and None in value)
        or (isinstance(value, dict) and None in value.values())
    )


def _with(tree: object, place: tuple[object, ...], value: object) -> object:
    wanted = copy.deepcopy(tree)
    put(_at(wanted, place[:-1]), place[-1], value)
    return wanted


def _lines_changed(before: str, after: str) -> int:
    """How many lines of the old text lie between what both texts begin and end with."""
    old, new = before.split("\n"), after.split("\n")
    head = _common(old, new)
    return len(old) - head - _common(old[head:][::-1], new[head:][::-1])


def _common(one: list[str], other: list[str]) -> int:
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _lines_of(text: str, old: object) -> int:
    """How many lines the old value may take: one, unless it has parts or was drawn as a block of text."""
    whole_block = is_container(old) or (isinstance(old, str) and BLOCK in old)
    return text.count("\n") + 1 if whole_block else 1


def load_yaml(text: str) -> object:
    """What DVC reads from YAML."""
    return YAML(typ="safe", pure=True).load(text)


@BRIEF
@given(yaml_documents(), st.data())
def test_override_of_yaml_changes_one_value_and_its_lines(text: str, data: st.DataObject) -> None:
    """Every other value is equal and every other line identical, whatever the document looks like."""
    check_one_override("p.yaml", text, load_yaml, data)


@BRIEF
@given(yaml_documents(), st.data())
def test_key_added_to_yaml_leaves_every_line_in_place(text: str, data: st.DataObject) -> None:
    """A new key is a new line (or a new word in braces): no old line of a block goes, and no other value changes."""
    check_one_addition("p.yaml", text, load_yaml, data)


@BRIEF
@given(yaml_documents(), st.data())
def test_key_deleted_from_yaml_takes_only_its_lines(text: str, data: st.DataObject) -> None:
    """What is left says what it said."""
    check_one_deletion("p.yaml", text, load_yaml, data)


JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def json_documents(draw: st.DrawFn) -> str:
    """JSON in the layouts that writers produce."""
    tree = draw(st.dictionaries(st.sampled_from(KEYS), JSON_VALUES, min_size=1, max_size=4))
    layout = draw(st.sampled_from([(None, (",", ":")), (None, (", ", ": ")), (2, (",", ": ")), ("\t", (" ,", " : "))]))
    text = json.dumps(tree, indent=layout[0], separators=layout[1], ensure_ascii=draw(st.booleans()))
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"]))) + draw(st.sampled_from(["", "\n"]))
    assume(text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text))
    return text


@BRIEF
@given(json_documents(), st.data())
def test_override_of_json_changes_one_value_and_its_lines(text: str, data: st.DataObject) -> None:
    """Every other value is equal and every other line identical."""
    check_one_override("p.json", text, json.loads, data)


@BRIEF
@given(json_documents(), st.data())
def test_key_added_to_json_changes_no_other_value(text: str, data: st.DataObject) -> None:
    """A new key needs a comma behind its neighbour, and nothing else."""
    check_one_addition("p.json", text, json.loads, data)


@BRIEF
@given(json_documents(), st.data())
def test_key_deleted_from_json_changes_no_other_value(text: str, data: st.DataObject) -> None:
    """A deleted key takes one comma with it."""
    check_one_deletion("p.json", text, json.loads, data)


TOML_SCALARS: Final = ["1", "0x1F", "1_000", "0.1", "1e-3", "-inf", "true", "'it # is'", '"q\\"]}"', "''''x''''", '"""a"b\\""""', "1979-05-27", "1979-05-27 07:32:00", "07:32:00", '"""\nblock # é\nblock"""', "'''\nblock = 1\n[block]\n'''"]  # fmt: skip
TOML_KEYS: Final = ["a", "b", "lr", "model_name", "x-y", "Z9", '"yes"', "'on'"]


def _is_toml(text: str) -> bool:
    """Whether the drawn keys fit together: a dotted key and a table may claim the same name."""
    try:
        return bool(tomli.loads(text))
    except tomli.TOMLDecodeError:
        return False


@st.composite
def toml_documents(draw: st.DrawFn) -> str:
    """Keys, dotted keys, tables, tables in tables, arrays of tables; comments and blank lines between."""
    keys = draw(st.permutations(TOML_KEYS))
    lines = [*draw(st.sampled_from([[], ["# head"], ["# é", ""]])), *draw(_toml_pairs(keys[:3], ""))]
    for name in keys[3 : draw(st.integers(3, 6))]:
        style = draw(st.sampled_from(["[{}]", "[{}.deep]", "[[{}]]", "[ {} . x ]"]))
        for _ in range(draw(st.integers(1, 2)) if style == "[[{}]]" else 1):
            lines += draw(st.sampled_from([[], [""], ["", "# about"]]))
            lines.append(style.format(name) + draw(st.sampled_from(COMMENTS)))
            lines += draw(_toml_pairs(draw(st.permutations(["a", "b", "lr"])), draw(st.sampled_from(["", "  "]))))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return "\n".join(lines).replace("\n", newline) + draw(st.sampled_from(["", newline]))


@st.composite
def _toml_pairs(draw: st.DrawFn, keys: list[str], indent: str) -> list[str]:
    lines: list[str] = []
    for key in keys[: draw(st.integers(0, 3))]:
        tail = draw(st.sampled_from(["", "", "", ".x", ' . "y z"']))
        value, comment = draw(_toml_value(2)), draw(st.sampled_from(COMMENTS))
        lines += [f"{indent}{key}{tail} = {value}{comment}", *draw(st.sampled_from([[], [], ["# between"]]))]
    return lines


def _toml_value(depth: int) -> st.SearchStrategy[str]:
    word = st.sampled_from(TOML_SCALARS)
    if not depth:
        return word
    inner = _toml_value(depth - 1)
    array = st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
    lines = st.lists(inner, max_size=3).map(lambda items: "[\n" + "".join(f"  {item}, # ] x\n" for item in items) + "]")
    flat = st.sampled_from([text for text in TOML_SCALARS if "\n" not in text])
    inline = st.dictionaries(st.sampled_from(["a", "b", '"c d"', "e.f"]), flat, max_size=3)
    return (
        word
        | array
        | lines
        | inline.map(lambda pairs: "{ " + ", ".join(f"{key} = {text}" for key, text in pairs.items()) + " }")
    )


@BRIEF
@given(toml_documents().filter(_is_toml), st.data())
def test_override_of_toml_changes_one_value_and_its_lines(text: str, data: st.DataObject) -> None:
    """Every other value is equal and every other line identical."""
    check_one_override("p.toml", text, tomli.loads, data)


@BRIEF
@given(toml_documents().filter(_is_toml), st.data())
def test_key_added_to_toml_leaves_every_line_in_place(text: str, data: st.DataObject) -> None:
    """A new key goes to its table, wherever and however that is written."""
    check_one_addition("p.toml", text, tomli.loads, data)


@BRIEF
@given(toml_documents().filter(_is_toml), st.data())
def test_key_deleted_from_toml_changes_no_other_value(text: str, data: st.DataObject) -> None:
    """A deleted table goes with all that is written about it, in as many places as that is."""
    check_one_deletion("p.toml", text, tomli.loads, data)
