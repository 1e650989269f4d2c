"""The grammar: every text becomes an override or an OverrideError, and the short way through agrees with Hydra's."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from expd.prepare.overrides import hydra_grammar
from expd.prepare.overrides.errors import OverrideError
from expd.prepare.overrides.grammar import (
    NESTING_MAX,
    TEXT_CHARS_MAX,
    Choice,
    Operation,
    Override,
    parse,
    spelled,
)
from expd.prepare.overrides.values import Value, same

# A busy machine is no reason to fail.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PREFIXES = {
    "a=1": ("params.yaml", "a"),
    "f.toml:a=x:y": ("f.toml", "a"),
    "a=x:y": ("params.yaml", "a"),
    "f.yaml:~a": ("f.yaml", "a"),
    "conf/train.json:+a.b=1": ("conf/train.json", "a.b"),
    "+f.yaml:a=1": ("+f.yaml", "a"),
    "a={k: v}": ("params.yaml", "a"),
}


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("db@backup=mysql", "db@backup", "mysql"),
        ("+db/sub@a.b=x", "db/sub@a.b", "x"),
        ("db@backup=a,b", "db@backup", Choice(values=("a", "b"))),
    ],
)
def test_group_may_be_put_into_a_package(text: str, key: str, value: object) -> None:
    """Where params.yaml is composed the package is part of the key; elsewhere, and in other files, it is refused."""
    override = parse(text, has_groups=True)

    assert (override.key, override.value) == (key, value)
    for refused, has_groups in ((text, False), (f"other.yaml:{text}", True)):
        with pytest.raises(OverrideError, match="config group"):
            parse(refused, has_groups=has_groups)


@pytest.mark.parametrize(("text", "expected"), PREFIXES.items())
def test_file_prefix_ends_at_a_colon_before_the_equals_sign(text: str, expected: tuple[str, str]) -> None:
    """A colon inside the value belongs to the value."""
    override = parse(text)

    assert (override.file, override.key) == expected


@pytest.mark.parametrize(
    ("text", "operation", "value"),
    [
        ("a=1", Operation.SET, 1),
        ("+a=1", Operation.ADD, 1),
        ("++a=x", Operation.FORCE_ADD, "x"),
        ("~a", Operation.DELETE, None),
        ("~a=1", Operation.DELETE, 1),
        ("a=[1, {b: 'c d'}]", Operation.SET, [1, {"b": "c d"}]),
        ("a='1'", Operation.SET, "1"),
        ("a=", Operation.SET, ""),
    ],
)
def test_override_holds_operation_and_value(text: str, operation: Operation, value: Value) -> None:
    """The whole record is what the text says."""
    assert parse(text) == Override(text=text, file="params.yaml", operation=operation, key="a", value=value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a[0]=1", "it cannot be read from '[0]=1' on"),
        ("f.yaml:a='b", 'it cannot be read from "\'b" on'),
        ("a=1=2", "'=' is not expected there"),
        ("a", "it ends too early"),
        ("", "it ends too early"),
        ("a=(", "'(' is not expected there"),
        ("=1", "the key before '=' is missing"),
        (":a=1", "the file before ':' has no name"),
        ("db@pkg=1", "belongs to a config group"),
        ("a=glob(*)", "glob() is not supported"),
        ("a=interval(0,1)", "interval() has no list of values"),
        ("a=[choice(1,2)]", "a sweep cannot stand inside"),
        ("a={k:choice(1,2)}", "a sweep cannot stand inside"),
        ("a=range(0,1,0.)", "step 0"),
        ("a=range(0,1,0)", "step 0"),
        ("a=range(nan,1)", "finite"),
        ("a=range(0,inf)", "finite"),
        ("a=json_str(1)", "Unknown function"),
        ("a=" + "9" * 5000, "digits"),
        ("a=" + "x" * TEXT_CHARS_MAX, "characters"),
        ("a=" + "[" * (NESTING_MAX + 1) + "]" * (NESTING_MAX + 1), "nested"),
    ],
)
def test_text_that_is_no_override_is_refused_with_its_reason(text: str, problem: str) -> None:
    """Whoever mistypes an override learns what is wrong with it, never the name of a library's exception."""
    with pytest.raises(OverrideError) as caught:
        parse(text)

    assert problem in caught.value.problem


def test_error_carries_text_problem_and_hint_apart() -> None:
    """An error is facts; the sentence is made from them."""
    with pytest.raises(OverrideError) as caught:
        parse("f.toml:a[0]=1")

    error = caught.value
    assert (error.text, error.hint) == ("f.toml:a[0]=1", "items of a list are named key.0, key.1")
    assert str(error) == f"{error.text}: {error.problem} ({error.hint})"


def test_shuffled_list_draws_from_the_given_source() -> None:
    """The same source of chance gives the same order, and no item is lost."""
    first, second = (parse("a=shuffle([1,2,3,4,5,6,7,8])", random.Random(7)).value for _ in range(2))

    assert first == second
    assert isinstance(first, list)
    assert sorted(map(str, first)) == list("12345678")


@PATIENT
@given(st.text(alphabet=st.sampled_from("ab019._-+~=:,[](){}'\"\\$ /@*%?|eEnulInfatrs\n\té"), max_size=20))
@example("a=range(1)")
@example("a=sort(choice(1,a))")
@example("a=int([1,a])")
@example("a=choice(range(3))")
@example("a=shuffle(sweep=choice(1,2))")
@example("a=tag(1)")
@example("a=range(1,2,3,4)")
@example("a=float(${x})")
def test_no_text_raises_anything_but_an_override_error(text: str) -> None:
    """Random text, also close to the grammar, is parsed or refused."""
    for candidate in (text, f"a={text}", f"a=choice({text})"):
        try:
            parse(candidate)
        except OverrideError as error:
            assert error.text == candidate  # noqa: PT017 - either way is right


WORD = st.text(alphabet="abxyzETFINLU019_./+%@?|*:-", min_size=1, max_size=8)
NUMBERS = [
    "0",
    "-0",
    "00",
    "1_0",
    "1__0",
    "1e3",
    "1.e-3",
    ".5e+1",
    "5.",
    "-.5",
    "inf",
    "-INF",
    "nan",
    "true",
    "False",
    "NULL",
    "1e",
    "e1",
    "0x1",
]


@PATIENT
@given(
    operator=st.sampled_from(["", "+", "++", "~"]),
    key=st.sampled_from(["a", "a-b", "_a.b0", "a.0.c", "A.10", "l.00", "a.b-", "x.1_0"]),
    words=st.lists(WORD | st.sampled_from(NUMBERS), min_size=1, max_size=4),
)
@example(operator="", key="a", words=["*"])
@example(operator="", key="a", words=["a:b"])
def test_short_way_through_agrees_with_hydra(operator: str, key: str, words: list[str]) -> None:
    """The fast path is no second grammar: it gives what Hydra's own parser gives, types included."""
    text = f"{operator}{key}={','.join(words)}"

    ours = _parsed(text)

    assert same(ours, _hydra(text)), text


@pytest.mark.parametrize("text", ["~a", "~a.b", "~l.0"])
def test_short_way_through_agrees_on_bare_deletions(text: str) -> None:
    """A deletion without a value is the same both ways."""
    assert same(_parsed(text), _hydra(text))


def _parsed(text: str) -> list[object]:
    try:
        override = parse(text)
    except OverrideError:
        return []
    return [override.operation.value, override.key, _plain(override.value)]


def _hydra(text: str) -> list[object]:
    try:
        operation, key, value = hydra_grammar.parse(text, text, None)
    except OverrideError:
        return []
    return [operation, key, _plain(value)]


def _plain(value: object) -> object:
    return ["choice", *value.values] if isinstance(value, Choice) else value


TEXTS = st.text(max_size=8).filter(lambda text: "\0" not in text)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
# What can be a key: the grammar has no quotes for them.
KEYS = st.from_regex(r"[abcd_][abc0 .:\\,({=-]{0,3}", fullmatch=True) | st.integers() | st.booleans()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=5
)


@PATIENT
@given(VALUES)
@example("it's")
@example("\\")
@example("\\'")
@example("a\\\\'b\\")
@example(" ")
@example("1")
@example("null")
@example("${a}")
def test_value_reads_back_from_its_spelling(value: Value) -> None:
    """The text of a sweep's point can be typed again, and says the same."""
    text = spelled(parse("f.toml:a=0"), value).text

    assert same(parse(text).value, value), text
