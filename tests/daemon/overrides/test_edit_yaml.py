"""YAML in place: the bytes that change, and the shapes in which people write YAML."""

from __future__ import annotations

import codecs

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from expd.prepare.overrides.apply import edit
from expd.prepare.overrides.edit_yaml import load
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import parse
from expd.prepare.overrides.values import same
from expd.prepare.overrides.yaml_text import scalar_text

# A busy machine is no reason to fail.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PARAMS = """\
# Parameters of the run.
lr: 0.1  # rate
name: "x"
single: 'x'
train:
  model: resnet   # m

  # how long
  epochs: 10
  layers: [1, 2,   3]   # widths
  steps:   # in order
    - 1  # one
    - 2
  text: |
    first
    second

  folded: >-
    one
    two
  plain: some
    words
b: {x: 1, y: 2,}
n:
m: # nothing
items:
- k: v
  j: 1
-
"""


def edited(text: str, *overrides: str) -> str:
    """The text with the overrides applied."""
    return edit("params.yaml", text.encode(), [parse(override) for override in overrides]).decode()


def changed(text: str, *overrides: str) -> tuple[list[str], list[str]]:
    """The lines that go and the lines that come."""
    before, after = text.split("\n"), edited(text, *overrides).split("\n")
    while before and after and before[0] == after[0]:
        del before[0], after[0]
    while before and after and before[-1] == after[-1]:
        del before[-1], after[-1]
    return before, after


@pytest.mark.parametrize(
    ("override", "before", "after"),
    [
        ("lr=0.5", "lr: 0.1  # rate", "lr: 0.5  # rate"),
        ("lr=1e-5", "lr: 0.1  # rate", "lr: 1.0e-05  # rate"),
        ("lr=1e3", "lr: 0.1  # rate", "lr: 1000.0  # rate"),
        ("lr=null", "lr: 0.1  # rate", "lr: null  # rate"),
        ("lr=nan", "lr: 0.1  # rate", "lr: .nan  # rate"),
        ("lr=-inf", "lr: 0.1  # rate", "lr: -.inf  # rate"),
        ("lr=True", "lr: 0.1  # rate", "lr: true  # rate"),
        ("lr=[1,a]", "lr: 0.1  # rate", "lr: [1, a]  # rate"),
        ("lr=abc", "lr: 0.1  # rate", "lr: abc  # rate"),
        ("lr='0.1'", "lr: 0.1  # rate", "lr: '0.1'  # rate"),
        ("name=hello", 'name: "x"', 'name: "hello"'),
        ("name='say \"hi\"'", 'name: "x"', 'name: "say \\"hi\\""'),
        ("name=5", 'name: "x"', "name: 5"),
        ("single=hello", "single: 'x'", "single: 'hello'"),
        ('single="it\'s"', "single: 'x'", "single: 'it''s'"),
        ("train.model=yes", "  model: resnet   # m", "  model: 'yes'   # m"),
        ("train.model=012", "  model: resnet   # m", "  model: '012'   # m"),
        ("train.model=12:30", "  model: resnet   # m", "  model: '12:30'   # m"),
        ("train.model=data/raw v2.csv", "  model: resnet   # m", "  model: data/raw v2.csv   # m"),
        ("train.model=", "  model: resnet   # m", "  model: ''   # m"),
        ("train.layers.1=9", "  layers: [1, 2,   3]   # widths", "  layers: [1, 9,   3]   # widths"),
        ("train.layers=[]", "  layers: [1, 2,   3]   # widths", "  layers: []   # widths"),
        ("train.steps.0=7", "    - 1  # one", "    - 7  # one"),
        ("b.y=3", "b: {x: 1, y: 2,}", "b: {x: 1, y: 3,}"),
        ("b={x: 5}", "b: {x: 1, y: 2,}", "b: {x: 5, y: 2,}"),
        ("++b.z=3", "b: {x: 1, y: 2,}", "b: {x: 1, y: 2, z: 3,}"),
        ("~b.x", "b: {x: 1, y: 2,}", "b: {y: 2,}"),
        ("~b.y", "b: {x: 1, y: 2,}", "b: {x: 1,}"),
        ("n=5", "n:", "n: 5"),
        ("n={a: 1}", "n:", "n: {a: 1}"),
        ("m=5", "m: # nothing", "m: 5 # nothing"),
        ("items.0.k=w", "- k: v", "- k: w"),
        ("items.1=5", "-", "- 5"),
    ],
)
def test_override_changes_its_line_alone(override: str, before: str, after: str) -> None:
    """The diff of an override of one value is one line, with its comment, quotes and spacing kept."""
    assert changed(PARAMS, override) == ([before], [after])


@pytest.mark.parametrize(
    ("override", "before", "after"),
    [
        ("+new=1", [], ["new: 1"]),
        ("+new.deep.er=[1]", [], ["new:", "  deep:", "    er: [1]"]),
        ("+train.new=x", [], ["  new: x"]),
        ("+items.0.new=x", [], ["  new: x"]),
        ("~lr", ["lr: 0.1  # rate"], []),
        ("~train.epochs", ["  epochs: 10"], []),
        ("~items.0.k", ["- k: v", "  j: 1"], ["- j: 1"]),
        ("~train.folded", ["  folded: >-", "    one", "    two"], []),
        ("train.steps=[3,4,5]", ["    - 1  # one", "    - 2"], ["    - 3", "    - 4", "    - 5"]),
        ("train.steps=[]", ["  steps:   # in order", "    - 1  # one", "    - 2"], ["  steps: []   # in order"]),
        ("train.steps=5", ["  steps:   # in order", "    - 1  # one", "    - 2"], ["  steps: 5   # in order"]),
        ("train.text=x", ["  text: |", "    first", "    second"], ["  text: x"]),
        ("train.folded=x", ["  folded: >-", "    one", "    two"], ["  folded: x"]),
        ("train.plain=x", ["  plain: some", "    words"], ["  plain: x"]),
        ("items.0=7", ["- k: v", "  j: 1"], ["- 7"]),
    ],
)
def test_change_of_structure_touches_its_own_lines(override: str, before: list[str], after: list[str]) -> None:
    """New keys are new lines at the end of their mapping; deleted keys and replaced blocks take their own lines."""
    assert changed(PARAMS, override) == (before, after)


@PATIENT
@given(st.text(max_size=8) | st.floats() | st.integers() | st.booleans() | st.none(), st.sampled_from([None, "'", '"']))
@example("1e3", None)
@example("off", None)
@example("1:30", None)
@example(1e-5, None)
@example(1e16, None)
def test_written_scalars_read_alike_in_yaml_1_1(value: object, style: str | None) -> None:
    """The pipeline reads YAML 1.2, most training scripts read 1.1: both find the same value, in a block and in braces."""
    text = f"a: {scalar_text(value, style)}\nb: {{c: {scalar_text(value, style)}}}\n"

    assert same(yaml.safe_load(text), {"a": value, "b": {"c": value}})
    assert same(load(text), {"a": value, "b": {"c": value}})


def test_deleting_the_last_key_leaves_an_empty_mapping() -> None:
    """A mapping without keys stays a mapping."""
    assert edited("a:  # about\n  b: 1\nc: 2\n", "~a.b") == "a: {}  # about\nc: 2\n"


def test_deleting_the_only_key_of_a_file_leaves_an_empty_mapping() -> None:
    """A file without parameters still says that it has none."""
    assert edited("# head\na: 1\n", "~a") == "# head\n{}\n"


def test_override_with_the_present_value_changes_nothing() -> None:
    """An override that says what is there leaves every byte as it is, however it is spelled there."""
    text = "a: 1_000\nb: 'x'\nc: 1e-3\nd: ~\n"

    assert edited(text, "a=1000", "b=x", "c=0.001", "d=null") == text


def test_line_endings_and_byte_order_mark_stay() -> None:
    """A file from another system keeps its line breaks, also in new lines, and its mark."""
    content = codecs.BOM_UTF8 + b"a: 1\r\nb:\r\n  c: \xc3\xa9\r\n"

    written = edit("p.yaml", content, [parse("a=2"), parse("+b.d=3"), parse("+e.f=4")])

    assert written == codecs.BOM_UTF8 + b"a: 2\r\nb:\r\n  c: \xc3\xa9\r\n  d: 3\r\ne:\r\n  f: 4\r\n"


def test_missing_final_newline_stays_missing() -> None:
    """Nothing is added to a last line that ends without a break, and a new last line ends alike."""
    assert edited("a: 1\nb: 2", "b=3") == "a: 1\nb: 3"
    assert edited("a: 1", "+b=3") == "a: 1\nb: 3"


def test_text_before_a_value_may_have_any_width() -> None:
    """Positions count characters, not bytes: what stands before a value on its line may be anything."""
    assert edited('{"é😀": "ü", a: "ß"} # ∑\n', "a=ok") == '{"é😀": "ü", a: "ok"} # ∑\n'


@pytest.mark.parametrize("head", ["", "# only words\n", "---\n", "---\n# words\n", "# no break"])
def test_first_key_of_an_empty_file_stands_at_its_end(head: str) -> None:
    """A file that holds nothing can be added to."""
    assert edited(head, "+a.b=1") == (head if head.endswith("\n") or not head else head + "\n") + "a:\n  b: 1\n"


SHARED = """\
base: &base
  lr: 0.1
  opt: {kind: adam}
size: &size 3
small:
  <<: *base  # like base
  width: *size
deep: *base
"""


def test_alias_is_replaced_where_it_stands() -> None:
    """A place that only refers to a value gets a value of its own."""
    assert changed(SHARED, "small.width=4") == (["  width: *size"], ["  width: 4"])


def test_key_below_an_alias_expands_it() -> None:
    """Changing one key of an alias writes the mapping out there; the anchor keeps its value."""
    assert changed(SHARED, "deep.lr=0.5") == (["deep: *base"], ["deep: {lr: 0.5, opt: {kind: adam}}"])


def test_inherited_key_is_written_out_where_it_is_overridden() -> None:
    """A key that comes from a merge is hidden by one of the same name, not changed for all."""
    assert changed(SHARED, "small.lr=0.5") == ([], ["  lr: 0.5"])


def test_inherited_mapping_is_written_out_with_its_one_change() -> None:
    """A key inside an inherited mapping brings that mapping along."""
    assert changed(SHARED, "small.opt.kind=sgd") == ([], ["  opt:", "    kind: sgd"])


def test_inherited_key_cannot_be_deleted() -> None:
    """What a merge brings cannot be taken away where it arrives, and the error says so."""
    with pytest.raises(OverrideError, match="merged mapping"):
        edited(SHARED, "~small.lr")


def test_shared_value_changes_for_its_own_key_alone() -> None:
    """Whoever refers to an anchored value keeps the old one, written out: an override names one key."""
    assert edited(SHARED, "size=5") == SHARED.replace("&size 3", "&size 5").replace("*size", "3")


def test_shared_mapping_changes_for_its_own_key_alone() -> None:
    """The same holds for what is merged or referred to as a whole."""
    expected = SHARED.replace("lr: 0.1", "lr: 0.9", 1)
    expected = expected.replace("  width: *size\n", "  width: *size\n  lr: 0.1\n")
    expected = expected.replace("deep: *base", "deep: {lr: 0.1, opt: {kind: adam}}")

    assert edited(SHARED, "base.lr=0.9") == expected


def test_deleted_anchor_leaves_its_value_to_those_who_refer_to_it() -> None:
    """What others refer to can go: its value is written out where it is used."""
    assert edited(SHARED, "~size") == SHARED.replace("size: &size 3\n", "").replace("*size", "3")
    assert edited(SHARED, "~base").splitlines()[1:] == [
        "small:",
        "  <<: {lr: 0.1, opt: {kind: adam}}  # like base",
        "  width: *size",
        "deep: {lr: 0.1, opt: {kind: adam}}",
    ]


def test_merged_mapping_can_become_a_number() -> None:
    """A mapping that others merge is written out there before it becomes something that cannot be merged."""
    assert edited(SHARED, "base=7").splitlines()[0] == "base: &base 7"


def test_anchor_that_is_used_twice_is_no_fault() -> None:
    """A later anchor of the same name takes over from there on."""
    assert edited("a: &x 1\nb: *x\nc: &x 2\nd: *x\n", "c=5") == "a: &x 1\nb: *x\nc: &x 5\nd: 2\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1", "expected"),
        ("a: 1\na: 2\n", "duplicate key"),
        ("a: !unknown 1\n", "tag"),
        ("a: !!int x\n", "invalid literal"),
        ("a: !!bool x\n", "x"),
        ("a: 1\n---\na: 2\n", "document"),
        ("- 1\n", "no named values"),
        ("word\n", "no named values"),
        ("a: &a [*a]\n", "more than 1000000 values"),
        ("a: \x01\n", "special characters"),
    ],
)
def test_file_that_cannot_be_read_is_refused_by_name(text: str, problem: str) -> None:
    """A broken file is reported as such, and nothing is made of it."""
    with pytest.raises(OverrideError) as caught:
        edited(text, "+b=1")

    assert caught.value.text == "params.yaml"
    assert problem in caught.value.problem


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    """A few lines can stand for billions of values; they are counted, not copied."""
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10)]

    with pytest.raises(OverrideError, match="more than 1000000 values"):
        edited("\n".join(lines), "a0=1")
