"""Names of experiments: what is refused and why, what chance and templates make."""

from __future__ import annotations

import random
import re
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expd.prepare.names import (
    ADJECTIVES,
    NAME_CHARS_MAX,
    NOUNS,
    UnusableName,
    check_name,
    filled,
    is_template,
    random_name,
    sanitized,
    sweep_names,
    unique_name,
)

# A busy machine is no reason to fail.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

RULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
LEGAL = ["a", "_", "A.b-c_9", "exp-1", "9lives", "x" * 64, "lock", "a.locked"]
REFUSED = {
    "": "it is empty",
    "-x": "it begins with '-'",
    "--upload-pack=x": "it begins with '-'",
    ".hidden": "it begins with '.'",
    "a..b": "it holds '..', which Git reads as a range",
    "a.lock": "it ends with '.lock', which Git keeps for its locks",
    "a.LOCK": "it ends with '.lock', which Git keeps for its locks",
    "a.": "it ends with '.', which Git refuses",
    "a/b": "it holds '/'",
    "é": "it holds 'é'",
    "a b": "it holds ' '",
    "a\n": "it holds '\\n'",
    "a~1": "it holds '~'",
    "x" * 65: "it has 65 characters, and 64 is the most",
}


@pytest.mark.parametrize("name", LEGAL)
def test_legal_name_is_returned_unchanged(name: str) -> None:
    """A name within the rule is used as it is."""
    assert check_name(name) == name


@pytest.mark.parametrize(("name", "problem"), REFUSED.items())
def test_illegal_name_is_refused_with_its_reason(name: str, problem: str) -> None:
    """The error says which rule the name breaks, and never only that it is invalid."""
    with pytest.raises(UnusableName) as caught:
        check_name(name)

    assert (caught.value.name, caught.value.problem) == (name, problem)
    assert repr(name) in str(caught.value)


def test_refusal_suggests_a_name_that_would_do() -> None:
    """Whoever types a slash sees at once what works."""
    with pytest.raises(UnusableName, match=r"'lr-0.1' would do"):
        check_name("lr/0.1")


@PATIENT
@given(st.text(max_size=70))
def test_check_agrees_with_the_rule(name: str) -> None:
    """What passes matches the rule's pattern, and what Git would take amiss does not pass."""
    legal = RULE.fullmatch(name) and ".." not in name and not name.lower().endswith((".lock", "."))

    try:
        check_name(name)
    except UnusableName:
        assert not legal
    else:
        assert legal


@PATIENT
@given(st.text(max_size=80))
def test_sanitized_text_is_legal_or_empty(text: str) -> None:
    """Whatever goes in, what comes out can be a name, once it is short enough."""
    name = sanitized(text)

    assert not name or len(name) > NAME_CHARS_MAX or check_name(name) == name


def test_git_accepts_the_names_that_pass() -> None:
    """The rule is narrower than Git's, never wider."""
    refs = [f"refs/exps/ab/cdef/{name}" for name in LEGAL]

    codes = [subprocess.run(["git", "check-ref-format", ref], check=False).returncode for ref in refs]

    assert codes == [0] * len(LEGAL)


def test_random_name_is_adjective_and_noun() -> None:
    """A random name is two words that can be read out, and a legal name."""
    name = check_name(random_name(random.Random(5)))

    adjective, noun = name.split("-")
    assert (adjective in ADJECTIVES, noun in NOUNS) == (True, True)


def test_random_name_repeats_with_its_seed() -> None:
    """Randomness is passed in: the same seed gives the same name."""
    assert random_name(random.Random(1)) == random_name(random.Random(1))


def test_word_lists_are_long_and_without_repeats() -> None:
    """There are words for many thousand names, each word once, and none in both lists."""
    assert len(ADJECTIVES) >= 120
    assert len(NOUNS) >= 120
    assert len(set(ADJECTIVES) | set(NOUNS)) == len(ADJECTIVES) + len(NOUNS)


def test_unique_name_avoids_taken_names() -> None:
    """A name that is taken is drawn again."""
    first = random_name(random.Random(3))

    assert unique_name(random.Random(3), {first}) not in {first, ""}
    assert unique_name(random.Random(3), lambda name: name == first) != first


def test_unique_name_ends_even_if_every_pair_is_taken() -> None:
    """With all pairs of words taken, a number makes the difference, and the draw ends."""
    name = unique_name(random.Random(3), lambda name: name.count("-") == 1)

    assert re.fullmatch(r"[a-z]+-[a-z]+-2", name)


def test_sweep_names_count_from_one() -> None:
    """The points of a sweep are called as DVC calls them."""
    assert sweep_names("lr", 3) == ["lr-1", "lr-2", "lr-3"]


def test_sweep_names_are_refused_if_the_last_is_too_long() -> None:
    """No point of a sweep gets a name that the first one's check did not cover."""
    with pytest.raises(UnusableName):
        sweep_names("x" * 62, 10)


VALUES = {"train.model": "resnet 50/v2", "train.lr": 0.1, "other.toml:seed": 3, "on": True, "off": None}


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{train.model}-lr{train.lr}", "resnet-50-v2-lr0.1"),
        ("s{other.toml:seed}", "s3"),
        ("{on}-{off}", "true-null"),
        ("run-{n}", "run-7"),
        ("plain", "plain"),
    ],
)
def test_template_is_filled_from_the_points_values(template: str, name: str) -> None:
    """A field becomes the value that the point sets, made legal."""
    assert filled(template, VALUES, 7) == name


def test_template_with_unknown_key_names_the_known_ones() -> None:
    """A typing error in a field is answered with the fields there are."""
    with pytest.raises(UnusableName) as caught:
        filled("{lr}", {"train.lr": 0.1}, 1)

    assert (caught.value.problem, caught.value.hint) == ("no override sets 'lr'", "known here: {train.lr}, {n}")


@pytest.mark.parametrize("template", ["{n", "a}", "{{n}}", "{off}" * 20])
def test_template_without_a_legal_result_is_refused(template: str) -> None:
    """An unclosed brace and a name that grows too long are errors, not surprises."""
    with pytest.raises(UnusableName):
        filled(template, VALUES, 1)


def test_template_whose_values_leave_nothing_is_refused() -> None:
    """A name of nothing but signs is refused as the template it came from."""
    with pytest.raises(UnusableName) as caught:
        filled("{a}", {"a": "///"}, 1)

    assert caught.value.name == "{a}"


def test_template_is_told_from_a_plain_name() -> None:
    """Only a name with a field is a template."""
    assert [is_template("a-{n}"), is_template("a")] == [True, False]
