"""Python in place: the literals that are parameters."""

from __future__ import annotations

import pytest

from expd.prepare.overrides.apply import edit
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import parse

PARAMS = '''\
"""Parameters."""
import os
LR = 0.1  # rate
NAME, OTHER = "x", "y"
QUOTED = "x"; AFTER = -1
SHAPE: tuple[int, ...] = (1, 2)
ONE = (1,)
TABLE = {"é": 1, 'b': {"c": [1, 2]}}
HOME = os.environ["HOME"]
PATTERN = "\\d"
LONG = (
    "a"
    "b"
)
class Train:
    epochs: int = 5
    rate: float
    def __init__(self):
        self.lr = -1
        local = 5
    class Inner:
        deep = None
'''


def edited(text: str, *overrides: str) -> str:
    """The text with the overrides applied."""
    return edit("p.py", text.encode(), [parse(f"p.py:{override}") for override in overrides]).decode()


@pytest.mark.parametrize(
    ("override", "before", "after"),
    [
        ("LR=0.5", "LR = 0.1  # rate", "LR = 0.5  # rate"),
        ("LR=abc", "LR = 0.1  # rate", "LR = 'abc'  # rate"),
        ("LR=null", "LR = 0.1  # rate", "LR = None  # rate"),
        ("LR={a: [1, b]}", "LR = 0.1  # rate", "LR = {'a': [1, 'b']}  # rate"),
        ("QUOTED=abc", 'QUOTED = "x"', 'QUOTED = "abc"'),
        ("QUOTED='a\"b'", 'QUOTED = "x"', "QUOTED = 'a\"b'"),
        ("AFTER=3", "AFTER = -1", "AFTER = 3"),
        ("SHAPE.0=5", "(1, 2)", "(5, 2)"),
        ("SHAPE=[7]", "(1, 2)", "(7,)"),
        ("ONE=[1,2]", "(1,)", "(1, 2)"),
        ("TABLE.b.c.1=9", "[1, 2]", "[1, 9]"),
        ("TABLE.b={c: []}", "[1, 2]", "[]"),
        ("LONG=c", '    "a"\n    "b"\n', '    "c"\n'),
        ("Train.epochs=6", "epochs: int = 5", "epochs: int = 6"),
        ("Train.lr=0.5", "self.lr = -1", "self.lr = 0.5"),
        ("Train.Inner.deep=x", "deep = None", "deep = 'x'"),
    ],
)
def test_override_changes_its_literal_alone(override: str, before: str, after: str) -> None:
    """Strings, tuples, items of dictionaries and attributes are changed like numbers, each in its own place."""
    assert PARAMS.count(before) == 1

    assert edited(PARAMS, override) == PARAMS.replace(before, after)


@pytest.mark.parametrize(
    "override",
    ["+NEW=1", "~LR", "+TABLE.x=1", "Train=1", "HOME=x", "NAME=x", "Train.rate=1", "Train.local=1", "LR=inf", "LR=nan"],
)
def test_what_is_no_literal_parameter_is_refused(override: str) -> None:
    """Nothing is done silently: what cannot be changed is an error."""
    with pytest.raises(OverrideError):
        edited(PARAMS, override)


def test_line_endings_stay_as_they_are() -> None:
    """Positions hold for any line break."""
    assert edited("A = 1\r\nB = 'é'; C = 2\r\n", "C=3") == "A = 1\r\nB = 'é'; C = 3\r\n"


def test_file_that_cannot_be_read_is_refused_by_name() -> None:
    """A syntax error is reported, with its line, as the file's."""
    with pytest.raises(OverrideError, match=r"p\.py: .*line 1"):
        edited("A = (", "A=1")
