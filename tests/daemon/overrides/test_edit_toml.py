"""TOML in place: values keep their lines, keys find their tables."""

from __future__ import annotations

import pytest

from expd.prepare.overrides.apply import edit
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import parse

PARAMS = """\
# Parameters of the run.
lr = 0.1  # rate
name = 'x'
when = 1979-05-27 07:32:00  # a date with a space

[train]
model = "resnet"   # m
layers = [
  1, # one ]
  2,
]
opt = { name = "adam", lr = 1e-3 }
a.b = 1
text = '''
[not a table]
lr = 5'''

# about the next one
[deep.er]
x = 1

[[it]]
n = 1
[[it]]
n = 2
sub = {}
  [it.more]
  m = 3
"""


def edited(text: str, *overrides: str) -> str:
    """The text with the overrides applied."""
    return edit("p.toml", text.encode(), [parse(f"p.toml:{override}") for override in overrides]).decode()


@pytest.mark.parametrize(
    ("override", "before", "after"),
    [
        ("lr=0.5", "lr = 0.1  # rate", "lr = 0.5  # rate"),
        ("lr=1e3", "lr = 0.1  # rate", "lr = 1000.0  # rate"),
        ("lr=inf", "lr = 0.1  # rate", "lr = inf  # rate"),
        ("lr=TRUE", "lr = 0.1  # rate", "lr = true  # rate"),
        ("lr={a: 1}", "lr = 0.1  # rate", "lr = {a = 1}  # rate"),
        ("name=hello", "name = 'x'", "name = 'hello'"),
        ('name="it\'s"', "name = 'x'", 'name = "it\'s"'),
        ("when=now", "when = 1979-05-27 07:32:00  #", 'when = "now"  #'),
        ("train.model=012", 'model = "resnet"   # m', 'model = "012"   # m'),
        ("train.layers.1=9", "  2,\n", "  9,\n"),
        ("train.layers.0=[]", "  1, # one ]", "  [], # one ]"),
        ("train.layers=[3]", "[\n  1, # one ]\n  2,\n]", "[3]"),
        ("train.opt.lr=5", "lr = 1e-3 }", "lr = 5 }"),
        ("++train.opt={q: 5}", "lr = 1e-3 }", "lr = 1e-3, q = 5 }"),
        ("~train.opt.name", '{ name = "adam", lr', "{ lr"),
        ("~train.opt.lr", ", lr = 1e-3 }", " }"),
        ("train.a.b=2", "a.b = 1", "a.b = 2"),
        ("train.text=x", "'''\n[not a table]\nlr = 5'''", "'x'"),
        ("it.1.n=5", "n = 2", "n = 5"),
        ("+it.1.sub.k=1", "sub = {}", "sub = {k = 1}"),
        ("it.1.more.m=4", "  m = 3", "  m = 4"),
        ("+it.1.more.k=4", "  m = 3\n", "  m = 3\n  k = 4\n"),
        ("+new=1", "# a date with a space\n", "# a date with a space\nnew = 1\n"),
        ("+new.x=1", "# a date with a space\n", "# a date with a space\nnew = {x = 1}\n"),
        ("+train.a.c=2", "a.b = 1\n", "a.b = 1\na.c = 2\n"),
        ("+train.new=2", "lr = 5'''\n", "lr = 5'''\nnew = 2\n"),
        ("+deep.z=1", "# about the next one\n", "[deep]\nz = 1\n\n# about the next one\n"),
        ("+deep.er.z=1", "x = 1\n", "x = 1\nz = 1\n"),
        ("~train.model", 'model = "resnet"   # m\n', ""),
        ("~lr", "lr = 0.1  # rate\n", ""),
    ],
)
def test_override_changes_its_own_text_alone(override: str, before: str, after: str) -> None:
    """Everything outside of the value, or of the new or deleted line, keeps its bytes."""
    assert PARAMS.count(before) == 1

    assert edited(PARAMS, override) == PARAMS.replace(before, after)


def test_table_without_keys_left_is_written_as_an_empty_one() -> None:
    """A table that existed through its only key, or through the only table in it, is still there without it."""
    assert edited("[t]\na.b = 1\nc = 2\n", "~t.a.b") == "[t]\nc = 2\na = {}\n"
    assert edited("x = 1\n[t.v]\nz = 1\n", "~t.v") == "x = 1\nt = {}\n"


def test_table_that_becomes_a_value_goes_with_all_its_parts() -> None:
    """A table and its tables are one value, in however many places they are written."""
    text = "a = 1\n\n[t]\nx = 1\n[u]\ny = 1\n[t.v]\nz = 1\n"

    assert edited(text, "t=5") == "a = 1\nt = 5\n\n[u]\ny = 1\n"


def test_array_of_tables_can_become_a_list() -> None:
    """A list may be written as headers; a list takes its place."""
    assert edited("a = 1\n[[t]]\nx = 1\n[[t]]\nx = 2\n", "t=[1,2]") == "a = 1\nt = [1, 2]\n"


def test_first_key_goes_above_the_first_table() -> None:
    """A key without a table would belong to the table above it anywhere else."""
    assert edited("# head\n\n# about t\n[t]\nx = 1\n", "+a=1") == "# head\n\na = 1\n\n# about t\n[t]\nx = 1\n"


@pytest.mark.parametrize("text", ["", "# head\n", "# head"])
def test_first_key_of_an_empty_file_stands_at_its_end(text: str) -> None:
    """A file that holds nothing can be added to."""
    assert edited(text, "+a=1") == (text if text.endswith("\n") or not text else text + "\n") + "a = 1\n"


def test_line_endings_stay_as_they_are() -> None:
    """A file from another system keeps its line breaks, also in new lines."""
    assert edited("a = 1\r\n[t]\r\nx = 'é'\r\n", "a=2", "+t.y=1") == "a = 2\r\n[t]\r\nx = 'é'\r\ny = 1\r\n"


@pytest.mark.parametrize("override", ["lr=null", "+new=null", "lr=[1,null]"])
def test_null_is_refused_with_what_to_do_instead(override: str) -> None:
    """TOML has no null, and the error says what works."""
    with pytest.raises(OverrideError) as caught:
        edited(PARAMS, override)

    assert caught.value.text == f"p.toml:{override}"
    assert caught.value.hint == "delete the key with ~key, or use an empty string"


def test_file_that_cannot_be_read_is_refused_by_name() -> None:
    """A broken file is reported with the place of the fault."""
    with pytest.raises(OverrideError, match=r"p\.toml: .*line 2"):
        edited("a = 1\nb = \n", "a=2")
