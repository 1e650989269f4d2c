"""JSON in place: new keys take the layout of their neighbours."""

from __future__ import annotations

import pytest

from expd.prepare.overrides.apply import edit
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import parse

PARAMS = """\
{
    "lr": 0.10,
    "name": "\\u00e9é",
    "train": {"a": 1, "b": [1, 2]},
    "list": [
        1,
        {"k": "v"}
    ],
    "empty": {},
    "odd" : 1e-3 ,
    "last": {
        "x": 1
    }
}
"""


def edited(text: str, *overrides: str) -> str:
    """The text with the overrides applied."""
    return edit("p.json", text.encode(), [parse(f"p.json:{override}") for override in overrides]).decode()


@pytest.mark.parametrize(
    ("override", "before", "after"),
    [
        ("lr=0.5", "0.10", "0.5"),
        ("lr=null", "0.10", "null"),
        ("lr=nan", "0.10", "NaN"),
        ("lr='a\"b'", "0.10", '"a\\"b"'),
        ("name='ü'", '"\\u00e9é"', '"ü"'),
        ("train.b.1=x", "[1, 2]", '[1, "x"]'),
        ("train.b=[]", "[1, 2]", "[]"),
        ("+train.c=1", "[1, 2]}", '[1, 2], "c": 1}'),
        ("~train.a", '"a": 1, ', ""),
        ("~train.b", ', "b": [1, 2]', ""),
        ("list=[1,{k: w}]", '"k": "v"', '"k": "w"'),
        ("list=[3]", '1,\n        {"k": "v"}', "3"),
        ("+list.1.new=2", '"k": "v"', '"k": "v", "new": 2'),
        ("+empty.x=1", "{}", '{"x": 1}'),
        ("+empty.x={1: true}", "{}", '{"x": {"1": true}}'),
        ("odd=1", "1e-3 ,", "1 ,"),
        ("+last.y=2", '"x": 1\n', '"x": 1,\n        "y": 2\n'),
        ("~last.x", '{\n        "x": 1\n    }', "{}"),
        ("~lr", '"lr": 0.10,\n    ', ""),
        ("~last", ' ,\n    "last": {\n        "x": 1\n    }', ""),
        ("+new=1", '"x": 1\n    }\n', '"x": 1\n    },\n    "new": 1\n'),
    ],
)
def test_override_changes_its_own_text_alone(override: str, before: str, after: str) -> None:
    """Indentation, spaces and escapes of everything else stay."""
    assert PARAMS.count(before) == 1

    assert edited(PARAMS, override) == PARAMS.replace(before, after)


def test_compact_text_stays_compact() -> None:
    """A file on one line gets its new key in its own manner."""
    assert edited('{"a":1,"b":2}', "+c=3") == '{"a":1,"b":2,"c":3}'


def test_several_deletions_leave_no_comma_behind() -> None:
    """However many neighbours go, what is left is JSON."""
    assert edited('{"a": 1, "b": 2, "c": 3}', "~a", "~b", "~c") == "{}"


def test_last_of_equal_keys_is_the_one_that_counts() -> None:
    """Readers take the last of two equal keys, so that is the one to change."""
    assert edited('{"a": 1, "a": 2}', "a=3") == '{"a": 1, "a": 3}'


@pytest.mark.parametrize("text", ["", "{", "[1]", "{'a': 1}", '{"a": 1,}'])
def test_file_that_cannot_be_read_is_refused_by_name(text: str) -> None:
    """A broken file is reported as such."""
    with pytest.raises(OverrideError) as caught:
        edited(text, "+b=1")

    assert caught.value.text == "p.json"
