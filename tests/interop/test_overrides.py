"""Overrides beside the real DVC: the same texts on the same files give the same values, or both refuse.

All rows go through DVC's own functions in one process, because starting DVC takes longer than everything else here. A row that
differs on purpose says why, and what the difference is; if DVC changes its mind, that row fails too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from expd.prepare.overrides.apply import edit
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import parse
from expd.prepare.overrides.sweeps import expand
from expd.prepare.overrides.values import same

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.interop

YAML: Final = """\
# the run's parameters
a: 0.1  # rate
s: "x"
t: true
n:
b: {x: 1, y: 2}
deep:
  one:
    two: 3
  l: [1, 2]
l:
- 1
- 2
- k: v
  j: 1
e: {}
el: []
1: one
nums: {2: two}
date: 1992-11-20
a/b: 1
"""
TOML: Final = """\
# the run's parameters
a = 0.1  # rate
s = "x"
t = true
l = [1, 2, {k = "v", j = 1}]
el = []
e = {}
b = {x = 1, y = 2}

[deep]
l = [
  1,
  2,
]
[deep.one]
two = 3 # three
"""
JSON: Final = """\
{
  "a": 0.1, "s": "x", "t": true, "n": null,
  "b": {"x": 1, "y": 2},
  "deep": {"one": {"two": 3}, "l": [1, 2]},
  "l": [1, 2, {"k": "v", "j": 1}],
  "e": {}, "el": []
}
"""
PYTHON: Final = """\
import os
a = 0.1  # rate
s = 5
t = True
n = None
b = {"x": 1, "y": 2}
l = [1, 2, 3]
class deep:
    one = 1
    def __init__(self):
        self.two = 3
"""

# What every format must do alike; overrides are parted by " | " and line ends.
EVERYWHERE: Final = r"""
a=2 | a=0.1 | a=1e3 | a=1_000 | a=true | a=TRUE | a=-0.0 | a=.5 | a=5. | a=1e-5 | a=[1,2] | a=[1, 2 ,3] | a=[] | s=-1
s=9999999999999999999999 | t=false | t=False | t=0 | b.x=9 | l.0=9 | l=[9] | l=[] | a=int(1.5) | a=float(1) | a=bool(0)
a=${b.x} | s=${b.y} | a=${l.0} | a=${l}
new=1 | +a=1 | +b.x=1 | ++a=5 | ~nope | ~b.nope | ~nope.x | b={q:5} | b=[1] | l={x:1} | l.7=1 | l.-1=3 | +l.3=9 | +l.0=9
++l.7=1 | l.x=1 | l.7.x=1 | a.b=1 | a.b.c=1 | a[0]=1 | l[0]=1 | a=1=2 | =1 | .a=1 | a.=1 | db@p=1 | a | +a | a={null:1}
s=${nope} | ++b=[1] | +b=[1] | ~a=1 | ~s=y | $a=1 | a=${ | a=( | a=] | a=nope(1) | a=int(x) | a=json_str(1)
"""
# What a format with strings of its own, and with keys that come and go, can do besides.
DATA_FILES: Final = r"""
a=inf | a=nan | a=+inf | a='1' | a="1" | a= | a=hello world | a=x/y:z@q | a=1992-11-20 | a=0x10 | a=010 | a=str(1)
a=\${b.x} | a=pre${b.x} | s=${b.x}${b.y} | s=hello | s=yes | s=off | s=12:30 | s='a: b' | s='#x' | s=' x' | s='x ' | s='~'
s='null' | s='1e3' | s='true' | s='it\'s' | s='\\' | s="a'b" | s='a"b' | s=-x | s=1__0 | s=infinity | s=None | s=a b  c
s='[1]' | s='{a: 1}' | s='- a' | s='a #b' | s='é😀' | s='&a' | s='*a' | s='!a' | s='%a' | s='@a' | s='|' | s='>' | s='	tab'
a=$ | a=\, | a='1,2' | a={k: v} | a={x: 1, y : 2} | a=${b} | a=[null_,1.5,'x',[a]] | a=${deep.l.1} | a=${deep} | a=é | a='é'
+new=1 | +new.x=1 | +x.y.z=1 | ++new=5 | +b.z=1 | +new={} | +new=[] | +new.x={} | +new=[{a:1}] | +x=${b.x} | e={}
~a | ~b.x | ~b | ~a=0.1 | ~s=x | ~t=1 | ~b={x:1,y:2} | ~deep.one.two | ~deep.l | ~deep | ~l | ~l.0 | ~l.2.k
b={x:5} | ++b={q:5} | +b={q:5} | +b={x:7} | b=5 | b.x={q:1} | b={x:{q:1}} | ++b={x:{q:1}} | b={} | e.x=1 | +e.x=1 | e={x:1}
deep={one:{two:4}} | deep={one:5} | deep={l:[3]} | deep={l:{x:1}} | deep={one:[1]} | ++deep={l:{x:1}} | deep.one.two.x=1
+deep.one.two.x=1 | ++deep.one.two.x=1 | +a.b=1 | +a.b.c=1 | +b={y:{z:1}} | l.2.k=w | l.2.zz=1 | +l.2.zz=1 | l=5 | l.0={a:1}
l.2={k:5} | +l=[3] | ++l=[3] | el=[1] | el=[{a:1}] | l.2=[1] | ++b=5 | +b=5 | a=1,2 | a=choice(1,2) | a=range(3)
"""
RELATIVE: Final = "b.x=${.y} | b={x:${.y}}"
NULLS: Final = (
    "a=null | n=5 | n=null | +n=1 | +n.q=1 | +n.q.r=1 | +new=null | ++b=null | b=null | b={x:null} | a=[null] | a=${n}"
)
YAML_ONLY: Final = "1=x | ~1 | date=x | date=1993-01-01 | a/b=2 | a={1:2} | a={true:1} | a={1.5:x}"
JSON_ONLY: Final = "a={1:2} | a={true:1}"
PYTHON_ONLY: Final = "deep.two=5 | deep.one=7 | n=3 | a=null | deep={two:4} | +new=1 | ++new=1 | ~nope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One file and the overrides that are applied to it, and why the outcome is another than DVC's, where it is."""

    suffix: str
    content: str
    overrides: tuple[str, ...]
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.suffix} {' '.join(self.overrides)}"


def rows(suffix: str, content: str, *tables: str, reason: str = "") -> list[Row]:
    """A row for each override of the tables."""
    texts = [text for table in tables for line in table.splitlines() for text in line.split(" | ") if text]
    return [Row(suffix=suffix, content=content, overrides=(text,), reason=reason) for text in texts]


# Several at once: order counts, and references are resolved after all of them.
TOGETHER: Final = [
    ("a=1", "a=2"),
    ("+new=1", "new=2"),
    ("a=${b.x}", "b.x=9"),
    ("~b.x", "+b.x=5"),
    ("~a", "a=1"),
    ("+m.x=1", "+m.y=2", "~b", "l.0=7", "s=z"),
    ("~b", "+b=[1]"),
    ("l=[1]", "l.0=2"),
    ("s='line\nbreak'",),
]
EQUAL: Final = [
    *rows(".yaml", YAML, EVERYWHERE, DATA_FILES, RELATIVE, NULLS, YAML_ONLY),
    *rows(".toml", TOML, EVERYWHERE, DATA_FILES, RELATIVE),
    *rows(".json", JSON, EVERYWHERE, DATA_FILES, RELATIVE, NULLS, JSON_ONLY),
    *rows(".py", PYTHON, EVERYWHERE.replace(" | b.x=9", ""), PYTHON_ONLY),
    *rows(".toml", TOML, "a=null | +new=null | b={x:null}"),
    *rows(".cfg", YAML, "a=2 | +new=1 | ~b"),
    *(
        Row(suffix=suffix, content=text, overrides=together)
        for suffix, text in ((".yaml", YAML), (".toml", TOML), (".json", JSON))
        for together in TOGETHER
    ),
    *rows(".yaml", "", "+a=1 | a=1"),
    *rows(".yaml", "# only words\n", "+a=1 | +a.b=1"),
    *rows(".yaml", "{}\n", "+a=1"),
    *rows(".yaml", "- 1\n", "+a=1"),
    *rows(".yaml", "a: 1\na: 2\n", "a=1"),
    *rows(".yaml", "a: [1\n", "a=1"),
    *rows(".json", "[1]", "+a=1"),
    *rows(".json", "{", "+a=1"),
    *rows(".toml", "a = ", "a=1"),
    *rows(".py", "a = (", "a=1"),
]
DIFFERENT: Final = [
    *rows(".yaml", YAML, "~n", reason="a key that holds null exists, and can be deleted"),
    *rows(".yaml", YAML, "nums.2=x", reason="a numeric key of an inner mapping has no other name"),
    *rows(".yaml", YAML, "a=???", reason="OmegaConf takes ??? for a missing value; here it is text"),
    *rows(".yaml", "a: 1\nb: ${a}\n", "a=2", reason="references that the file holds are the script's to resolve"),
    *rows(".yaml", "a: 1\nb: ${a}\n", "~a", reason="references that the file holds are the script's to resolve"),
    *rows(".toml", TOML, "a={1:2} | a={true:1}", reason="a number as a key becomes a string, as it does in JSON"),
    *rows(
        ".py", PYTHON, "s=hello | a='1' | a=0x10 | s=-x | a=x/y", reason="text stays text: DVC writes it without quotes"
    ),
    *rows(
        ".py", PYTHON, "b.x=9 | b={x:5} | b.x=${.y} | a={}", reason="DVC leaves the file as it was, and says nothing"
    ),
    *rows(".py", PYTHON, "~a | ~b.x", reason="DVC leaves the file as it was; here deleting is refused"),
    *rows(
        ".py", PYTHON, "a=inf | a=nan", reason="Python has no literal for these: DVC writes a name that nobody defined"
    ),
    *rows(".py", PYTHON, "b=5 | a={k: v}", reason="DVC ends with a KeyError"),
    *rows(".py", PYTHON, "s=5.", reason="DVC compares by value, so 5 stays where 5.0 was asked for"),
]

DVC: Final = """
import json, logging, pathlib, sys, tempfile
logging.disable(logging.CRITICAL)
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from dvc.utils.serialize import LOADERS

def attempt(function):
    try:
        return [function()]
    except Exception:
        return []

def applied(path, row):
    path.write_text(row["content"])
    apply_overrides(str(path), row["overrides"])
    return LOADERS[path.suffix](str(path))

def read(path, text):
    path.write_text(text)
    return LOADERS[path.suffix](str(path))

asked = json.load(sys.stdin)
with tempfile.TemporaryDirectory() as folder:
    files = [(pathlib.Path(folder) / ("params" + row["suffix"]), row) for row in asked["rows"]]
    told = {
        "rows": [attempt(lambda: applied(path, row)) for path, row in files],
        "ours": [attempt(lambda: read(path, row["ours"])) if row["ours"] is not None else [] for path, row in files],
        "sweeps": [attempt(lambda: get_hydra_sweeps(to_path_overrides(texts))) for texts in asked["sweeps"]],
    }
json.dump(told, sys.stdout, default=str)
"""

SWEEPS: Final = [
    ["a=1,2"],
    ["a=choice(1,2)"],
    ["a=range(3)"],
    ["a=range(1,10,4)"],
    ["a=range(0,1,0.5)"],
    ["a=range(0,1,0.3)"],
    ["a=range(0.,1.,0.1)"],
    ["a=range(5,0,-2)"],
    ["a=range(start=1,stop=3)"],
    ["a=sort(3,1,2)"],
    ["a=sort(3,1,2,reverse=true)"],
    ["a=sort(range(3),reverse=true)"],
    ["a=tag(x,choice(1,2))"],
    ["a=int(1.5,2.5)"],
    ["a=float(range(3))"],
    ["a=bool(0,1)"],
    ["a=[1,2],[3]"],
    ["a={x:1},{x:2}"],
    ["a='1,2'"],
    ["a='1','2'"],
    ["a='it\\'s','b\\\\'"],
    ["a=a b, c d"],
    ["a=true,null,1e-5,inf"],
    ["a=x:y,z=w"],
    ["a=1,2,"],
    ["a=choice()"],
    ["a=glob(*)"],
    ["a=interval(0,1)"],
    ["~a,b"],
    ["a=1,2", "b=x,y"],
    ["a=1,2", "f.toml:b=1,2", "c=1,2"],
    ["f.toml:b=1,2", "a=1,2", "~bar"],
    ["a=1,2", "a=3"],
    ["a=1,2", "+a=3,4"],
    ["+a=1,2", "++b=1,2"],
    ["a=choice(a,b)", "b={k:1},{k:2}", "~c"],
]
DIFFERENT_SWEEPS: Final = {
    "DVC loses the quotes of a string on its way through text": [["a=choice('1','2')"], ["a=str(1,2)"]],
    "no point at all is a mistake, and said to be one": [["a=range(0)"], ["a=range(1,0)"]],
    "without a sweep nothing is dropped: all overrides apply in their order": [["a=1", "a=2"]],
}


def outcome(function: Callable[[], object]) -> list[object]:
    """What the function returns, in a list; nothing if it refuses."""
    try:
        return [function()]
    except OverrideError:
        return []


def edited(row: Row) -> str:
    """The row's file with its overrides applied by us."""
    name = f"params{row.suffix}"
    return edit(name, row.content.encode(), [parse(f"{name}:{text}") for text in row.overrides]).decode()


def points(texts: list[str]) -> object:
    """The points that we make, as plain values."""
    return [
        [[item.file, item.operation.value, item.key, item.value] for item in point.overrides] for point in expand(texts)
    ]


def dvc_points(combinations: list[dict[str, list[str]]]) -> object:
    """The points that DVC makes; it passes them on as text."""
    return [
        [
            [item.file, item.operation.value, item.key, item.value]
            for item in (parse(f"{file}:{text}") for file in one for text in one[file])
        ]
        for one in combinations
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """DVC's answers, by row and by sweep; `ours` is what DVC reads from the files that we wrote."""

    written: dict[Row, list[object]]
    rows: dict[Row, list[object]]
    ours: dict[Row, list[object]]
    sweeps: dict[tuple[str, ...], list[list[dict[str, list[str]]]]]


@pytest.fixture(scope="module")
def dvc() -> Told:
    """All rows and sweeps, answered by one process."""
    every = [*EQUAL, *DIFFERENT]
    sweeps = [*SWEEPS, *(texts for group in DIFFERENT_SWEEPS.values() for texts in group)]
    written = {row: outcome(partial(edited, row)) for row in every}
    asked = [
        {
            "suffix": row.suffix,
            "content": row.content,
            "overrides": row.overrides,
            "ours": next(iter(written[row]), None),
        }
        for row in every
    ]
    ran = subprocess.run(
        [sys.executable, "-c", DVC],
        input=json.dumps({"rows": asked, "sweeps": sweeps}),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(ran.stdout)
    return Told(
        written=written,
        rows=dict(zip(every, told["rows"], strict=True)),
        ours=dict(zip(every, told["ours"], strict=True)),
        sweeps=dict(zip(map(tuple, sweeps), told["sweeps"], strict=True)),
    )


def test_overrides_give_the_values_that_dvc_gives(dvc: Told) -> None:
    """Whoever moves from DVC gets the same parameters from the same command line, or an error where there was one."""
    differing = [str(row) for row in EQUAL if not same(dvc.rows[row], dvc.ours[row])]

    assert not differing


def test_intended_differences_from_dvc_are_still_there(dvc: Told) -> None:
    """Each row that differs on purpose does differ; where DVC has come round, the row moves to the others."""
    agreeing = [(str(row), row.reason) for row in DIFFERENT if same(dvc.rows[row], dvc.ours[row])]

    assert not agreeing


def test_dvc_reads_every_file_that_is_written(dvc: Told) -> None:
    """Whatever is written here, DVC can read."""
    unread = [str(row) for row in dvc.written if dvc.written[row] and not dvc.ours[row]]

    assert not unread


@pytest.mark.parametrize("texts", SWEEPS, ids=" ".join)
def test_sweep_has_the_points_of_dvc_in_its_order(texts: list[str], dvc: Told) -> None:
    """A sweep queues what DVC would queue, numbered alike."""
    theirs = [dvc_points(one) for one in dvc.sweeps[tuple(texts)]]

    assert same(outcome(lambda: points(texts)), theirs)


@pytest.mark.parametrize(
    ("reason", "texts"), [(reason, texts) for reason, group in DIFFERENT_SWEEPS.items() for texts in group]
)
def test_sweep_that_differs_from_dvc_still_does(reason: str, texts: list[str], dvc: Told) -> None:
    """A sweep that differs on purpose does differ."""
    theirs = [dvc_points(one) for one in dvc.sweeps[tuple(texts)]]

    assert not same(outcome(lambda: points(texts)), theirs), reason


def test_table_of_cases_is_as_long_as_promised() -> None:
    """The comparison is worth its name only while it covers the grammar."""
    assert len(EQUAL) >= 64
