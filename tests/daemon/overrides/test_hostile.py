"""Files that nobody would write: whatever a file holds, an override changes it rightly or is refused in our own words."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from expd.prepare.overrides.apply import edit
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import parse
from expd.prepare.overrides.values import child, is_mapping, put, same

FRAGMENTS: Final = {
    ".yaml": "a: |b:\n|  |- |[|]|{|}|, |? |: |&x |*x|<<: *x\n|!!int |!!set |!!omap |!!binary |!!timestamp |!!bool |!foo |>\n|'|\"|\\|#c\n|\n|1|~"
    "|2020-01-01|2020-13-99|---\n|...\n|%YAML 1.1\n|\t|é|=|null|1e3|@|\r\n|012|1:30|\0|\u2028|!!null |!!str ",
    ".toml": "a|b| = |[|]|[[|]]|{|}|.|,|\"|'|'''|\"\"\"|\n|\r\n|1|0x|inf|2020-01-01| |#c\n|\\u00|é|-|_|\t|07:00:00",
    ".json": '{|}|[|]|:|,|"a"|"|\\u|1|-|e|null|true|NaN| |\n|é|"b"|\\ud800|0',
    ".py": "a|b| = |1|(|)|[|]|{|}|,|:|\n|class A:\n|    |def __init__(self):\n|self.x = 1\n|'|\"|\"\"\"|\\|# c\n|**|x: int = 2\n|-|f'{a}'|b'x'"
    "|1j|...|é|\x0c|\\d|None|a = b = 1\n|{1,2}|lambda: 0|\0",
}
HEADS: Final = {".yaml": "q: 1\n", ".toml": "q = 1\n", ".json": '{"q": 1,', ".py": "q = 1\n"}
BRIEF: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=80)


@pytest.mark.parametrize("suffix", FRAGMENTS)
def test_no_text_raises_anything_but_an_override_error(suffix: str) -> None:
    """Random pieces of a format's syntax are edited or refused; no exception of a reader comes through."""

    @BRIEF
    @given(st.lists(st.sampled_from(FRAGMENTS[suffix].split("|")), max_size=12), st.booleans())
    def check(pieces: list[str], headed: bool) -> None:
        text = HEADS[suffix] * headed + "".join(pieces)
        for override in ("q=2", "+zz=1", "~q", "++b.c=[1]"):
            try:
                edit(f"p{suffix}", text.encode(), [parse(override)])
            except OverrideError as error:
                assert error.problem  # noqa: PT017 - either way is right

    check()


ANCHORED: Final = [
    "3",
    "'x'",
    "{lr: 0.1, opt: {kind: adam}}",
    "[1, {k: v}]",
    "\n    lr: 0.1\n    opt:\n      kind: adam",
    "\n  - 1\n  - k: v",
]
USES: Final = [
    "{name}: *{anchor}",
    "{name}: {{x: *{anchor} , y: 2}}",
    "{name}:\n  - *{anchor}\n  - 1",
    "{name}:\n  <<: *{anchor}\n  own: 1",
    "{name}:\n  own: *{anchor}",
]


@st.composite
def anchored_documents(draw: st.DrawFn) -> str:
    """Values with anchors, then places that refer to them, in every way that YAML has for it."""
    anchors = draw(st.lists(st.sampled_from(["A", "B"]), min_size=1, max_size=3))
    lines = [f"v{index}: &{anchor} {draw(st.sampled_from(ANCHORED))}" for index, anchor in enumerate(anchors)]
    uses = draw(st.lists(st.sampled_from(USES), min_size=1, max_size=4))
    lines += [use.format(name=f"u{index}", anchor=draw(st.sampled_from(anchors))) for index, use in enumerate(uses)]
    text = "\n".join(lines) + "\n"
    assume(_is_yaml(text))
    return text


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(anchored_documents(), st.data(), st.sampled_from(["=7", "=[1,2]", "=x", "~"]))
def test_shared_values_change_for_the_named_key_alone(text: str, data: st.DataObject, action: str) -> None:
    """Whatever refers to whatever: the override's key changes, and no other place of the tree does."""
    tree = _load(text)
    place = data.draw(st.sampled_from(_places(tree, ())))
    wanted = _copied(tree)
    parent = wanted
    for step in place[:-1]:
        parent = child(parent, step)
    assume(not is_mapping(child(parent, place[-1])) or action != "=[1,2]")
    note(f"{text}{place} {action}")
    key = ".".join(map(str, place))

    if action == "~":
        assume(is_mapping(parent))
        assert is_mapping(parent)
        del parent[place[-1]]
        override = f"~{key}"
    else:
        put(parent, place[-1], {"=7": 7, "=x": "x", "=[1,2]": [1, 2]}[action])
        override = f"{key}{action}"

    try:
        written = edit("p.yaml", text.encode(), [parse(override)])
    except OverrideError as error:
        assert "merged mapping" in error.problem  # noqa: PT017 - the one thing that is refused
    else:
        assert same(_load(written.decode()), wanted)


def _load(text: str) -> object:
    reader = YAML(typ="safe", pure=True)
    reader.composer.warn_double_anchors = False
    return reader.load(text)


def _is_yaml(text: str) -> bool:
    try:
        return _load(text) is not None
    except Exception:  # noqa: BLE001 - a list cannot be merged, and the reader has several words for that
        return False


def _copied(tree: object) -> object:
    """The tree without sharing: what the reader builds from an alias is the same object twice."""
    if is_mapping(tree):
        return {key: _copied(value) for key, value in tree.items()}
    return [_copied(item) for item in tree] if isinstance(tree, list) else tree


def _places(tree: object, path: tuple[object, ...]) -> list[tuple[object, ...]]:
    steps: list[tuple[object, object]] = []
    if is_mapping(tree):
        steps = list(tree.items())
    elif isinstance(tree, list):
        steps = list(enumerate(tree))
    return [found for step, below in steps for found in [(*path, step), *_places(below, (*path, step))]]
