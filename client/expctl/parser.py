"""The thorough way through the table of arguments: argparse, for everything that `quick` leaves, and for help."""

import argparse
import os

from expctl.arguments import Arguments, Option, Positional
from expctl.options import SHARED, VERBS
from expctl.trouble import Trouble
from expproto.errors import USAGE

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from typing import NoReturn

WIDTH_DEFAULT, WIDTH_MAX = 80, 100


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as it is written; knows its width, which argparse would import shutil for at every start."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width(), max_help_position=28)


class Parser(argparse.ArgumentParser):
    """A parser that raises, so that a wrong usage can be told as JSON like every other failure."""

    def error(self, message: str) -> "NoReturn":
        """Refuse the arguments."""
        raise Trouble(USAGE, {"what": message, "usage": self.format_usage().strip()})


def thorough(verb: str, words: list[str]) -> Arguments:
    """Read the arguments of one verb; raises Trouble if they make no sense."""
    arguments = Arguments()
    if "-h" in words or "--help" in words:
        arguments.help = True
        return arguments
    parser = parser_of(verb)
    if all(positional.count in {"*", "+"} for positional in VERBS[verb].positionals[-1:]):
        parser.parse_intermixed_args(words, arguments)
    else:
        parser.parse_args(words, arguments)
    return arguments


def parser_of(verb: str) -> Parser:
    """Build the parser of one verb."""
    declared = VERBS[verb]
    parser = Parser(
        prog=f"expctl {verb}",
        usage=declared.usage,
        description=declared.summary,
        formatter_class=Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    for positional in declared.positionals:
        _add_positional(parser, positional)
    for option in declared.options:
        _add_option(parser, option)
    shared = parser.add_argument_group("everywhere")
    for option in SHARED:
        _add_option(shared, option)
    return parser


def _add_positional(parser: Parser, positional: Positional) -> None:
    parser.add_argument(
        positional.name,
        nargs=positional.count,
        metavar=positional.metavar,
        choices=positional.choices,
        type=positional.read or str,
        help=positional.help,
    )


def _add_option(group: "argparse._ActionsContainer", option: Option) -> None:
    if option.metavar is None:
        group.add_argument(*option.flags, dest=option.name, action="store_true", help=option.help)
    elif option.is_list:
        group.add_argument(
            *option.flags, dest=option.name, action="append", default=[], metavar=option.metavar, help=option.help
        )
    else:
        group.add_argument(
            *option.flags, dest=option.name, type=option.read or str, metavar=option.metavar, help=option.help
        )


def _width() -> int:
    try:
        return min(os.get_terminal_size().columns, WIDTH_MAX)
    except OSError:
        return WIDTH_DEFAULT
