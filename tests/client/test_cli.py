"""The command line: help, versions, options in any order, numbers within their limits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.conftest import Expctl
from expctl.cli import parse
from expctl.options import VERBS
from expctl.parser import parser_of, thorough
from expctl.quick import quick
from expctl.trouble import Trouble
from expproto import VERSION


def test_overview_names_every_command(expctl: Expctl) -> None:
    """Help goes to stdout and is no failure; a bare `expctl` is one."""
    asked, bare = expctl("--help"), expctl()

    assert (asked.code, bare.code) == (0, 2)
    assert asked.out == bare.out
    assert all(f"\n  {verb} " in asked.out for verb in VERBS)


def test_version_is_that_of_the_release(expctl: Expctl) -> None:
    """The version is told without asking a daemon."""
    assert expctl("--version").out == f"expctl {VERSION}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_explains_itself(expctl: Expctl, verb: str) -> None:
    """Help of a command shows its arguments, even where required ones are missing."""
    ran = expctl(verb, "--help")

    assert ran.code == 0
    assert ran.out.startswith(f"usage: expctl {verb}")
    assert "--json" in ran.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_takes_json_and_quiet(verb: str) -> None:
    """The two flags mean the same everywhere."""
    options = {option for action in parser_of(verb)._actions for option in action.option_strings}

    assert {"--json", "-q", "--quiet", "-h", "--help"} <= options


@pytest.mark.parametrize(
    "argv",
    [
        ["submit", "train", "-S", "a=1", "eval"],
        ["submit", "-S", "a=1", "train", "eval"],
        ["submit", "train", "eval", "--set-param", "a=1"],
        ["submit", "train", "eval", "--set-param=a=1"],
        ["submit", "train", "eval", "-Sa=1"],
    ],
)
def test_options_and_arguments_mix(argv: list[str]) -> None:
    """Nobody remembers which comes first."""
    arguments = parse(argv, None)

    assert (arguments.targets, arguments.set_param) == (["train", "eval"], ["a=1"])


@pytest.mark.parametrize(
    "argv",
    [
        ["submit", "--nam", "x"],
        ["submit", "--bogus"],
        ["get"],
        ["wait", "--timeout", "-1"],
        ["wait", "--timeout", "nan"],
        ["wait", "--timeout", "1e10"],
        ["follow", "1", "-n", "-5"],
        ["pause", "now"],
    ],
)
def test_wrong_arguments_are_refused(argv: list[str]) -> None:
    """Abbreviations, unknown options, missing arguments and numbers out of bounds are errors of usage."""
    with pytest.raises(Trouble) as caught:
        parse(argv, None)

    assert caught.value.code == "usage"
    assert str(caught.value.data["usage"]).startswith(f"usage: expctl {argv[0]}")


def test_dashes_end_the_options_of_other_commands() -> None:
    """Only submit has a command after `--`; elsewhere it lets a path begin with a dash, if there are paths at all."""
    assert parse(["status", "1"], ["-odd"]).entries == ["1", "-odd"]
    assert parse(["get", "1", "a"], ["-odd"]).paths == ["a", "-odd"]
    with pytest.raises(Trouble):
        parse(["jobs"], ["4"])


WORDS = [
    "train",
    "1",
    "",
    "a b",
    "-",
    "-1",
    "-S",
    "-Sa=1",
    "--set-param",
    "-n",
    "--name",
    "--name=x",
    "-m",
    "-f",
    "-q",
    "-qf",
]
MORE = [
    "--json",
    "--all",
    "--raw",
    "--csv",
    "--timeout",
    "2",
    "-o",
    "--now",
    "status",
    "--lines",
    "-h",
    "--help",
    "a=-1",
    "--x",
]


@settings(deadline=None, max_examples=500)
@given(verb=st.sampled_from(list(VERBS)), words=st.lists(st.sampled_from(WORDS + MORE), max_size=6))
def test_quick_way_is_the_thorough_one_or_none(verb: str, words: list[str]) -> None:
    """Whatever is typed: where the quick reader gives an answer, argparse gives the same."""
    arguments = quick(VERBS[verb], words)

    assert arguments is None or arguments.help or vars(arguments) == vars(thorough(verb, words))


@pytest.mark.parametrize(
    "argv",
    [
        ["submit", "-S", "train.lr=0.1,0.2", "-n", "tuned", "--json"],
        ["submit", "train", "-f", "-m", "why"],
        ["status", "1", "-q"],
        ["cancel", "1", "2"],
        ["wait", "--all"],
        ["pause"],
        ["show", "--json"],
        ["show", "tuned"],
    ],
)
def test_everyday_commands_take_the_quick_way(argv: list[str]) -> None:
    """What is typed all day needs no argparse."""
    assert quick(VERBS[argv[0]], argv[1:]) is not None
