"""A plain text, a block of dvc.lock or a file of parameters, is read and written as YAML would have it, or not at all."""

import io
from textwrap import dedent

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from expd.pipeline.documents import parse_thoroughly
from expd.pipeline.lockentry import LockEntry
from expd.pipeline.lockfile import parse_lock
from expd.pipeline.locktext import block_text, dump_entry, split_blocks
from expd.pipeline.model import Fingerprint, PipelineError
from expd.pipeline.plainblock import plain_block, plain_entry
from expd.pipeline.plainyaml import parse_plain

PLAIN = """\
  train@cnn-0.1:
    cmd: python train.py --lr 0.1 > "log file" && echo 'done' | tee x; test -f y
    deps:
    - path: data
      hash: md5
      md5: 6a79580d0c7f149918ad4a5aa42b6d46.dir
      size: 230
      nfiles: 2
    - path: train.py
      hash: md5
      md5: abcdef0123456789abcdef0123456789
      size: 0
      isexec: true
    params:
      params.yaml:
        lr: 0.1
        name: cnn
        seed: -3
        quoted: '1e3'
      conf/other.json:
        a.b: false
    outs:
    - path: out
      hash: md5
      md5: '12345678901234567890123456789012'
"""
PARAMS = """\
# what is trained
train:  # as in the paper
  lr: 0.1   # found by hand
  epochs: 10
  layers: [1, 2, 3]
  names: [a, b c, ./x]
  optimizer:
    name: adam
    betas:
    - 0.9
    - 0.999
    steps:
      - at: 1
        what: 'it''s'
      - at: -2

url: http://host:80/x?y=z
path: s3://bucket/key
empty:
nothing: null
flag: true
off: yes
small: 1e-3
text: "two words"
none: {}
few: []
"""
_TEXTS = """\
a|b c|null|True|no|1|-0|007|1.5|1.|.5|1e3|0x1f|0o7|0b11|.inf|nan|~||2020-01-01|a: b|a #b|a:|a#b|- a|? a|*a|&a|!a|%a|@a|`a|'a'|"a"|{a}|[a]
a, b|a'b|\u00e9|a\n| a|a |a  b|---|...|<<|=|/a|_a|1_0|a\tb|12:30|+1|6e79580d0c7f149918ad4a5aa42b6d46|y|off"""
CHARACTERS = st.sampled_from("abz019 .-_:#'\"[]{},\n\u00e9\t?!&*%@`|>~<=+/\\eE\r\u2028\ufeff")
_LINES = """\
a:|b:|- a|- a: 1|- b|c: 2|d: 3|a: [1, 2]|e: # x|# c||   |a: 'x|f: 1.|f: .5|f: 0x1|f: 1_0|f: 012|f: 2020-01-01|f: 12:30|<<: {}|a : b|? a|g: a: b\
|h: a b|-|- |-  |--- |...|a: b #c|a: b#c|'k': 1|- - 1|- [a, b]|k: [a,b]|k: [a, , b]|k: [a, b,]|k: [ a]|k: [1, 'x']|k: [true, null]|k: nUll|k: Null\
|k: True|k: NO|x: 1e5|x: 1E5|x: -0|x: -0.0|x: -1.5e-5|x: 00|x: 1 2|x: 1e400|x: 12345678901234567890|true: 1|null: 1|y: 1|a: b |a: b  # c |a:   b|a:\tb"""
LINES = [*_LINES.split("|"), "a: |", "a: >-"]
WORDS = st.sampled_from([*_TEXTS.split("|"), "a" * 90 + " b", "1" * 31 + "e", "0" * 32])
LONG_COMMAND = " ".join(["python train.py"] * 5)
VALUES = WORDS | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.none() | st.lists(WORDS, max_size=2)
FINGERPRINTS = st.builds(
    Fingerprint,
    md5=st.text("0123456789abcdef", min_size=32, max_size=32) | st.text("01e", min_size=32, max_size=32),
    size=st.none() | st.integers(0, 2**70),
    isexec=st.booleans(),
)
PATHS = st.dictionaries(WORDS.filter(bool), FINGERPRINTS, max_size=3)
ENTRIES = st.builds(
    LockEntry,
    commands=WORDS | st.lists(WORDS, max_size=2).map(tuple),
    deps=PATHS,
    params=st.dictionaries(WORDS, st.dictionaries(WORDS, VALUES, max_size=3), max_size=2),
    outs=PATHS,
)


@pytest.mark.parametrize("text", [PLAIN, PARAMS])
def test_a_plain_text_is_read(text: str) -> None:
    """The form of nearly every stage, and of most parameters, needs no parser of YAML."""
    assert repr(parse_plain(text)) == repr(parse_thoroughly(text, ""))


@given(name=WORDS.filter(bool), entry=ENTRIES)
def test_what_is_read_is_what_yaml_says(name: str, entry: LockEntry) -> None:
    """Whatever stands in an entry: read quickly, it is the same, down to the types; what is doubtful is not read."""
    block = block_text(name, entry)
    found = parse_plain(block)

    assert found is None or repr(found) == repr(parse_thoroughly(block, ""))


@given(st.data())
def test_a_changed_text_is_read_as_yaml_reads_it(data: st.DataObject) -> None:
    """An edit by hand is found again, or the text is left to the YAML parser."""
    lines = data.draw(st.sampled_from([PLAIN, PARAMS])).splitlines(keepends=True)
    first = data.draw(st.integers(0, len(lines) - 1))
    text = dedent("".join(lines[first : first + data.draw(st.integers(1, 6))]))
    for _edit in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 1))
        text = text[:at] + data.draw(CHARACTERS | st.just("")) + text[at + cut :]
    _check_is_as_yaml_reads(text)


@given(st.lists(st.tuples(st.sampled_from([0, 0, 0, 2, 2, 4]), st.sampled_from(LINES)), max_size=7))
def test_lines_put_together_are_read_as_yaml_reads_them(lines: list[tuple[int, str]]) -> None:
    """Whatever follows whatever, at whatever column."""
    _check_is_as_yaml_reads("\n".join(" " * column + line for column, line in lines))


def _check_is_as_yaml_reads(text: str) -> None:
    found = parse_plain(text)

    assert found is None or repr(found) == repr(parse_thoroughly(text, ""))


@pytest.mark.parametrize("name", ["a", "null", "True", "1", "a b", "y"])
def test_names_of_blocks_are_those_of_yaml(name: str) -> None:
    """A name that YAML takes for something else keeps the whole file from being read in blocks."""
    text = f"schema: '2.0'\nstages:\n  {name}:\n    cmd: x\n"
    try:
        expected = parse_lock(text, "dvc.lock").keys()
    except PipelineError:
        expected = None
    blocks = split_blocks(text)

    assert (blocks is None) == (expected is None)
    assert blocks is None or blocks.keys() == expected


def _dumped(data: object) -> str:
    """Write as DVC does (dvc/utils/serialize/_yaml.py)."""
    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def test_a_plain_entry_is_written() -> None:
    """The form of nearly every stage needs no writer of YAML either."""
    block = PLAIN.replace("        quoted: '1e3'\n", "").partition("    outs:")[0]
    entry = parse_lock(f"schema: '2.0'\nstages:\n{block}", "dvc.lock")["train@cnn-0.1"]

    assert plain_block("train@cnn-0.1", entry.to_data()) == block


@given(name=WORDS.filter(bool), entry=ENTRIES)
@example("a", LockEntry(commands=LONG_COMMAND))
@example("a", LockEntry(commands=LONG_COMMAND[:71], params={"p": {"k" * 120: 1, "lr": 1e-7, "n": -0.5}}))
@example("a", LockEntry(commands=LONG_COMMAND[:72]))
@example("a", LockEntry(commands=("a" * 74, "b" * 75)))
@example("a" * 130, LockEntry(commands="a" * 200))
def test_what_is_written_is_what_yaml_writes(name: str, entry: LockEntry) -> None:
    """Whatever stands in an entry: written quickly, it is the same bytes, and stays when another stage is written."""
    data = entry.to_data()
    text = _dumped({"stages": {name: data}})
    block, alone = plain_block(name, data), plain_entry(data)

    assert block is None or f"stages:\n{block}" == text == _dumped(YAML().load(text))
    assert alone is None or alone == _dumped(data)
    assert dump_entry(entry) == _dumped(data)
