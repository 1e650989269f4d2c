"""A plain block of dvc.lock is read as YAML would read it, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expd.pipeline.documents import parse_yaml
from expd.pipeline.lockentry import LockEntry
from expd.pipeline.lockfile import parse_lock
from expd.pipeline.locktext import block_text, split_blocks
from expd.pipeline.model import Fingerprint, PipelineError
from expd.pipeline.plainblock import parse_plain_block

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
_TEXTS = """\
a|b c|null|True|no|1|-0|007|1.5|1.|.5|1e3|0x1f|0o7|0b11|.inf|nan|~||2020-01-01|a: b|a #b|a:|a#b|- a|? a|*a|&a|!a|%a|@a|`a|'a'|"a"|{a}|[a]
a, b|a'b|\u00e9|a\n| a|a |a  b|---|...|<<|=|/a|_a|1_0|a\tb|12:30|+1|6e79580d0c7f149918ad4a5aa42b6d46|y|off"""
WORDS = st.sampled_from([*_TEXTS.split("|"), "a" * 90 + " b", "1" * 31 + "e", "0" * 32])
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


def test_a_plain_block_is_read() -> None:
    """The form of nearly every stage needs no parser of YAML."""
    assert parse_plain_block(PLAIN) == parse_yaml(PLAIN, "")


@given(name=WORDS.filter(bool), entry=ENTRIES)
def test_what_is_read_is_what_yaml_says(name: str, entry: LockEntry) -> None:
    """Whatever stands in an entry: read quickly, it is the same, down to the types; what is doubtful is not read."""
    block = block_text(name, entry)
    found = parse_plain_block(block)

    assert found is None or repr(found) == repr(parse_yaml(block, ""))


@given(
    line=st.integers(0, 23),
    old=st.sampled_from(sorted(set(PLAIN))),
    new=st.sampled_from([*sorted(set(PLAIN)), "#", "\t"]),
)
def test_a_changed_block_is_read_as_yaml_reads_it(line: int, old: str, new: str) -> None:
    """An edit by hand is found again, or the block is left to the YAML parser."""
    lines = PLAIN.splitlines(keepends=True)
    lines[line % len(lines)] = lines[line % len(lines)].replace(old, new, 1)
    block = "".join(lines)
    found = parse_plain_block(block)

    assert found is None or repr(found) == repr(parse_yaml(block, ""))


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
