"""Arguments to command: one table of verbs, each with its parser and the module that carries it out.

Only the parser of the verb at hand is built, and only its module imported.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from importlib import import_module

from expctl.output import Output
from expctl.trouble import NO_SUCH_COMMAND, Trouble
from expproto import VERSION
from expproto.errors import USAGE

TYPE_CHECKING = False  # typing costs 9 ms
if TYPE_CHECKING:
    from typing import NoReturn

WIDTH_DEFAULT, WIDTH_MAX = 80, 100

ENTRIES_HELP = "an entry's id, its experiment's name or a revision"


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as it is written below; knows its width, which argparse would import shutil for at every start."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width(), max_help_position=28)


class Parser(argparse.ArgumentParser):
    """A parser that raises, so that a wrong usage can be told as JSON like every other failure."""

    def error(self, message: str) -> "NoReturn":
        """Refuse the arguments."""
        raise Trouble(USAGE, {"what": message, "usage": self.format_usage().strip()})


def run(argv: list[str]) -> int:
    """Carry out one command line and give its exit code."""
    options, command = _split_at_dashes(argv)
    output = Output(as_json="--json" in options, quiet=False)
    try:
        return _run(options, command, output)
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - every end of the program passes here, to get its words and its code
        from expctl.failures import report  # noqa: PLC0415 - successful commands need no sentences

        return report(error, output)


def _run(options: list[str], command: list[str] | None, output: Output) -> int:
    if not options or options[0] in {"-h", "--help", "help"}:
        output.data(overview())
        return 0 if options else 2
    if options[0] == "--version":
        output.data(f"expctl {VERSION}\n")
        return 0
    arguments = parse(options, command)
    if arguments.help:
        output.data(parser_of(options[0]).format_help())
        return 0
    output.quiet = arguments.quiet
    execute: Callable[[argparse.Namespace, Output], int] = import_module(f"expctl.commands.{options[0]}").run
    return execute(arguments, output)


def parse(options: list[str], command: list[str] | None) -> argparse.Namespace:
    """Read the arguments of one verb; raises Trouble if they make no sense."""
    verb, *rest = options
    if verb not in VERBS:
        raise Trouble(NO_SUCH_COMMAND, {"verb": verb, "near": _near(verb)})
    parser = parser_of(verb)
    if "-h" in rest or "--help" in rest:
        return argparse.Namespace(help=True)
    arguments = parser.parse_args(rest) if verb in {"daemon", "jobs"} else parser.parse_intermixed_args(rest)
    arguments.help = False
    arguments.command = command
    if command and verb != "submit":
        _take_words(arguments, command, parser)
    return arguments


def _take_words(arguments: argparse.Namespace, words: list[str], parser: Parser) -> None:
    """Add what stands after `--`, where it lets a path begin with a dash; argparse mixes it up with options."""
    for name in ("paths", "entries"):
        if hasattr(arguments, name):
            getattr(arguments, name).extend(words)
            return
    parser.error(f"unrecognized arguments: {' '.join(words)}")


def parser_of(verb: str) -> Parser:
    """Build the parser of one verb."""
    summary, declare = VERBS[verb]
    parser = Parser(
        prog=f"expctl {verb}", description=summary, formatter_class=Formatter, allow_abbrev=False, add_help=False
    )
    declare(parser)
    shared = parser.add_argument_group("everywhere")
    shared.add_argument("--json", action="store_true", help="one JSON document, as docs/json.md describes it")
    shared.add_argument("-q", "--quiet", action="store_true", help="ids only")
    shared.add_argument("-h", "--help", action="store_true", help="show this and exit")
    return parser


def overview() -> str:
    """Give the help of the whole program."""
    lines = [f"  {verb:<8} {summary}" for verb, (summary, _) in VERBS.items()]
    return (
        "usage: expctl COMMAND [OPTION…] [ARGUMENT…]\n\n"
        "Runs machine-learning experiments: submit what the workspace holds, go on working, find the results in Git.\n\n"
        "  expctl submit -S train.lr=0.1,0.2    freeze the workspace, queue two experiments\n"
        "  expctl follow 1                      watch the first one\n"
        "  expctl show                          compare what came out\n\n"
        "commands:\n" + "\n".join(lines) + "\n\n"
        "`expctl COMMAND --help` tells more. Exit codes: docs/exit-codes.md; --json: docs/json.md\n"
    )


def _split_at_dashes(argv: list[str]) -> tuple[list[str], list[str] | None]:
    """Split at the first `--`: what follows is a command, and none of its options are ours."""
    if "--" not in argv:
        return argv, None
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def _near(verb: str) -> str:
    import difflib  # noqa: PLC0415 - only for a typing error

    found = difflib.get_close_matches(verb, VERBS, n=1)
    return found[0] if found else ""


def _width() -> int:
    try:
        return min(os.get_terminal_size().columns, WIDTH_MAX)
    except OSError:
        return WIDTH_DEFAULT


def _submit(parser: Parser) -> None:
    parser.usage = "expctl submit [OPTION…] [STAGE…] [-- COMMAND…]"
    parser.add_argument("targets", nargs="*", metavar="STAGE", help="run only up to these stages of dvc.yaml")
    parser.add_argument(
        "-S", "--set-param", action="append", default=[], metavar="[FILE:]KEY=VALUE",
        help="run with this parameter; several values make a sweep (can be repeated)",
    )  # fmt: skip
    parser.add_argument("-n", "--name", help="name of the experiment; made up if not given")
    parser.add_argument("-m", "--message", help="message of the experiment's commit")
    parser.add_argument("-f", "--force", action="store_true", help="run also what didn't change, replace a name taken")


def _follow(parser: Parser) -> None:
    _entries(parser, "the one that runs if none is named")
    parser.add_argument("-n", "--lines", type=_count, metavar="LINES", help="begin so many lines before the end")
    parser.add_argument("--raw", action="store_true", help="pass control characters to the terminal as they are")


def _status(parser: Parser) -> None:
    _entries(parser, "all if none is named")


def _show(parser: Parser) -> None:
    parser.add_argument("experiment", nargs="?", metavar="ID", help=f"{ENTRIES_HELP}; all of HEAD if not given")
    parser.add_argument("--csv", action="store_true", help="comma-separated values with a heading")


def _get(parser: Parser) -> None:
    parser.add_argument("experiment", metavar="ID", help=ENTRIES_HELP)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files or directories of it; all it made if not given")
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="where to; a new directory of the experiment's name if not given"
    )
    parser.add_argument("-f", "--force", action="store_true", help="replace files that are there")


def _wait(parser: Parser) -> None:
    _entries(parser, "all if none is named")
    parser.add_argument("--all", action="store_true", help="wait until nothing is queued and nothing runs")
    parser.add_argument(
        "--timeout", type=_duration, metavar="SECONDS", help="give up after so long, with exit code 124"
    )


def _cancel(parser: Parser) -> None:
    parser.add_argument("entries", nargs="+", metavar="ID", help=ENTRIES_HELP)


def _jobs(parser: Parser) -> None:
    parser.add_argument(
        "jobs", nargs="?", type=_positive, metavar="N", help="so many at once; shows the number if not given"
    )


def _daemon(parser: Parser) -> None:
    parser.add_argument("action", choices=["status", "stop", "start"], help="what to do")
    parser.add_argument("--now", action="store_true", help="stop: cancel what runs instead of waiting for it")


def _plain(_: Parser) -> None:
    """Declare nothing: the verb takes no arguments."""


def _entries(parser: Parser, default: str) -> None:
    parser.add_argument("entries", nargs="*", metavar="ID", help=f"{ENTRIES_HELP}; {default}")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _duration(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 1e9:
        raise ValueError
    return seconds


_count.__name__, _positive.__name__, _duration.__name__ = "count", "number of jobs", "number of seconds"

VERBS: Mapping[str, tuple[str, Callable[[Parser], None]]] = {
    "submit": ("Freeze the workspace and queue it as one or more experiments", _submit),
    "follow": ("Watch the output of entries until they end", _follow),
    "status": ("Show the queue", _status),
    "show": ("Show the experiments of HEAD, or all of one", _show),
    "get": ("Fetch the files of an experiment, beside the workspace", _get),
    "wait": ("Wait until entries are done", _wait),
    "cancel": ("End entries, running or not", _cancel),
    "pause": ("Start nothing more; what runs goes on", _plain),
    "resume": ("Start entries again", _plain),
    "jobs": ("Show or set how many experiments run at once", _jobs),
    "daemon": ("Look at, stop or start the daemon", _daemon),
}
"""Every verb: what it does, and its arguments. `expctl.commands.<verb>` carries it out."""
