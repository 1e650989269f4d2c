"""`edit`: order, references, errors, and what is never done by halves."""

from __future__ import annotations

import pytest

from expd.prepare.overrides.apply import CONTENT_BYTES_MAX, edit
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import parse


def edited(text: str, *overrides: str, path: str = "params.yaml", environment: dict[str, str] | None = None) -> str:
    """The text with the overrides applied."""
    return edit(path, text.encode(), [parse(override) for override in overrides], environment=environment).decode()


def refused(text: str, *overrides: str) -> OverrideError:
    """The error that the overrides meet."""
    with pytest.raises(OverrideError) as caught:
        edited(text, *overrides)
    return caught.value


def test_no_overrides_return_the_very_same_bytes() -> None:
    """Nothing is read where nothing is asked, not even a file that is no YAML."""
    content = b"\xff\xfe anything"

    assert edit("params.yaml", content, []) is content


def test_overrides_apply_in_their_order() -> None:
    """A later override sees what an earlier one did."""
    assert edited("a: 1\n", "+b=2", "b=3", "~a", "+a.c=4") == "a: {c: 4}\nb: 3\n"


@pytest.mark.parametrize(
    ("override", "problem", "hint"),
    [
        ("new=1", "Could not override 'new'", "To append to your config use +new=1"),
        ("b.new=1", "Could not override 'b.new'", "To append to your config use +b.new=1"),
        ("f.yaml:new=1", "Could not override 'new'", "To append to your config use f.yaml:+new=1"),
        ("conf/new.yaml:new=1", "Could not override 'new'", "To append to your config use conf/new.yaml:+new=1"),
        ("new.a=1", "Could not override 'new.a'", "To append to your config use +new.a=1"),
        ("+a=5", "'a' is there already", "to change it use a=5"),
        ("b={q: 1}", "Could not override 'b.q'", "to add it use ++b={…}"),
        ("b=[1]", "a list and a mapping cannot be merged", "first delete the old one with ~key, then add the new"),
        ("l.7=1", "the list has 2 items, none is numbered 7", "write the whole list: key=[…]"),
        ("l.x=1", "a list has no key 'x'", "items are numbered from 0"),
        ("~l.0", "an item cannot be deleted from a list", "write the list that remains: key=[…]"),
        ("~nope", "Could not delete 'nope': it does not exist", ""),
        ("~a=2", "Could not delete 'a': its value is 1", ""),
        ("r.x=1", "'r' refers to another place (${b})", "override that place instead"),
        ("a=1,2", "a sweep has several values, and a file can hold one", ""),
    ],
)
def test_override_that_does_not_fit_says_what_would(override: str, problem: str, hint: str) -> None:
    """Each refusal names the override, the reason, and the way on."""
    error = refused("a: 1\nb: {x: 1}\nl: [1, 2]\nr: ${b}\n", override)

    assert (error.text, error.problem, error.hint) == (override, problem, hint)


def test_one_refused_override_stops_all() -> None:
    """There is no half-done file: the error comes instead of any bytes."""
    assert refused("a: 1\n", "a=2", "nope=1").text == "nope=1"


def test_reference_is_resolved_when_all_overrides_are_in() -> None:
    """A reference in an override is written as the value that it has in the end."""
    assert edited("a: 1\nb: {x: 2}\n", "a=${b.x}", "b.x=9") == "a: 9\nb: {x: 9}\n"


def test_reference_that_a_later_override_removes_is_no_matter() -> None:
    """Only what is there in the end is resolved."""
    text = "a: 1\nl: [1, 2]\nb: {x: 1}\n"

    assert edited(text, "l.1=${nope}", "l=[3]") == text.replace("[1, 2]", "[3]")
    assert edited(text, "b.x=${nope}", "b=5") == text.replace("{x: 1}", "5")
    assert edited(text, "a=${nope}", "a=2") == text.replace("a: 1", "a: 2")
    assert edited(text, "a=${nope}", "~a") == text.replace("a: 1\n", "")


def test_references_inside_of_lists_and_mappings_are_resolved() -> None:
    """A reference may stand anywhere in an override's value, and mean anything that the file holds."""
    written = edited("a: 1\nl: [1, {k: 2}]\n", "l.1.k=${a}", "+c={d: [${l}, {x: ${a}}]}", "+e=${l.1}")

    assert written == "a: 1\nl: [1, {k: 1}]\nc:\n  d: [[1, {k: 1}], {x: 1}]\ne:\n  k: 1\n"


def test_reference_in_the_file_is_left_to_the_script() -> None:
    """What the file itself refers to stays as it is written, next to a value that changes."""
    assert edited("a: 1\nb: ${a}\nc: ${oc.env:HOME}\n", "a=2") == "a: 2\nb: ${a}\nc: ${oc.env:HOME}\n"


def test_escaped_reference_is_written_as_text() -> None:
    """With a backslash the reference itself is the value."""
    assert edited("a: 1\nb: 2\n", "a=\\${b}") == "a: '${b}'\nb: 2\n"


def test_environment_is_the_submitters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference to a variable reads the environment that is passed in, never the one this process runs in."""
    monkeypatch.setenv("WHO", "daemon")

    assert edited("a: 1\n", "a=${oc.env:WHO}", environment={"WHO": "user"}) == "a: user\n"
    assert edited("a: 1\n", "a=${oc.env:WHO,nobody}") == "a: nobody\n"
    assert "'WHO' not found" in refused("a: 1\n", "a=${oc.env:WHO}").problem


@pytest.mark.parametrize("value", ["${nope}", "${a}", "${b", "${b.x.y}", "${nope:1}"])
def test_reference_to_nowhere_is_refused(value: str) -> None:
    """A dangling or circular reference is an error of the override that holds it."""
    with pytest.raises(OverrideError):
        edited("a: 1\nb: {x: 1}\n", f"a={value}")


def test_reference_inside_of_a_value_leaves_its_neighbours_alone() -> None:
    """Only the references that the override brought are resolved, also within one mapping."""
    assert edited("b: {x: 1, y: '${c}'}\nc: 3\n", "b={x: ${c}}") == "b: {x: 3, y: '${c}'}\nc: 3\n"


@pytest.mark.parametrize("path", ["params.yaml", "p.yml", "conf/P.YAML", "params", "params.cfg"])
def test_unknown_suffix_is_read_as_yaml(path: str) -> None:
    """What is not JSON, TOML or Python is YAML, as it is for DVC."""
    assert edited("a: 1 # x\n", "a=2", path=path) == "a: 2 # x\n"


def test_file_that_is_not_utf8_is_refused() -> None:
    """The error names the byte."""
    with pytest.raises(OverrideError, match=r"not UTF-8 \(byte 3\)"):
        edit("params.yaml", b"a: \xff", [parse("a=1")])


def test_text_without_unicode_form_is_refused() -> None:
    """Bytes of an argument that are no text cannot get into a file of text."""
    with pytest.raises(OverrideError, match="no Unicode text"):
        edit("p.json", b'{"a": 1}', [parse("p.json:a='\udc80'")])


def test_oversized_file_is_refused_before_it_is_read() -> None:
    """A limit ends what would keep the daemon busy for minutes."""
    with pytest.raises(OverrideError, match="more than 1048576 bytes"):
        edit("params.yaml", b"#" * (CONTENT_BYTES_MAX + 1), [parse("+a=1")])


def test_nesting_beyond_the_readers_depth_is_refused() -> None:
    """A text of brackets is an error like any other."""
    with pytest.raises(OverrideError, match="nested too deep"):
        edited("a: " + "[" * 1500 + "]" * 1500, "a=1")


def test_numbers_with_several_spellings_keep_their_type() -> None:
    """One, one point zero and true are three values: only what differs is written."""
    assert edited("a: 1\n", "a=1.0") == "a: 1.0\n"
    assert edited("a: 1\n", "a=true") == "a: true\n"
    assert edited("a: 0.0\n", "a=-0.0") == "a: -0.0\n"
    assert edited("a: .NaN\n", "a=nan") == "a: .NaN\n"
