"""Arguments to command: the verb's module is imported, and no other; a failure is given to `failures`."""

from __future__ import annotations

from expctl.arguments import Arguments
from expctl.options import VERBS
from expctl.output import Output
from expctl.quick import quick
from expctl.trouble import NO_SUCH_COMMAND, Trouble
from expproto import VERSION
from expproto.errors import USAGE

TYPE_CHECKING = False  # typing and collections.abc cost as much as half a Python start
if TYPE_CHECKING:
    from collections.abc import Callable


def run(argv: list[str]) -> int:
    """Carry out one command line and give its exit code."""
    words, command = _split_at_dashes(argv)
    output = Output(as_json="--json" in words, quiet=False)
    try:
        return _run(words, command, output)
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - every end passes here, to get its words
        from expctl.failures import report  # noqa: PLC0415 - successful commands need no sentences

        return report(error, output)


def _run(words: list[str], command: list[str] | None, output: Output) -> int:
    if not words or words[0] in {"-h", "--help", "help"}:
        output.data(overview())
        return 0 if words else 2
    if words[0] == "--version":
        output.data(f"expctl {VERSION}\n")
        return 0
    arguments = parse(words, command)
    if arguments.help:
        from expctl.parser import parser_of  # noqa: PLC0415 - argparse costs a third of a short command

        output.data(parser_of(words[0]).format_help())
        return 0
    output.quiet = arguments.quiet
    execute: Callable[[Arguments, Output], int] = __import__(
        f"expctl.commands.{words[0].replace('-', '_')}", fromlist=["run"]
    ).run
    return execute(arguments, output)


def parse(words: list[str], command: list[str] | None) -> Arguments:
    """Read the arguments of one verb; raises Trouble if they make no sense."""
    verb, *rest = words
    if verb not in VERBS:
        raise Trouble(NO_SUCH_COMMAND, {"verb": verb, "near": _near(verb)})
    arguments = quick(VERBS[verb], rest)
    if arguments is None:
        from expctl.parser import thorough  # noqa: PLC0415 - as above

        arguments = thorough(verb, rest)
    arguments.command = command
    if command and verb not in {"submit", "run"}:
        _take_words(arguments, command)
    return arguments


def overview() -> str:
    """Give the help of the whole program."""
    return (
        "usage: expctl COMMAND [OPTION…] [ARGUMENT…]\n\n"
        "Runs machine-learning experiments: submit what the workspace holds, go on working, find the results in Git.\n\n"
        "  expctl submit -S train.lr=0.1,0.2    freeze the workspace, queue two experiments\n"
        "  expctl follow 1                      watch the first one\n"
        "  expctl run -S train.lr=0.3           run one in the workspace, now\n"
        "  expctl show                          compare what came out\n\n"
        "commands:\n" + "".join(f"  {name:<8} {verb.summary}\n" for name, verb in VERBS.items()) + "\n"
        "`expctl COMMAND --help` tells more. Exit codes: docs/exit-codes.md; --json: docs/json.md\n"
    )


def _split_at_dashes(argv: list[str]) -> tuple[list[str], list[str] | None]:
    """Split at the first `--`: what follows is a command, and none of its options are ours."""
    if "--" not in argv:
        return argv, None
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def _take_words(arguments: Arguments, words: list[str]) -> None:
    """Add what stands after `--`, where it lets a path begin with a dash."""
    for name in ("paths", "entries"):
        if hasattr(arguments, name):
            getattr(arguments, name).extend(words)
            return
    raise Trouble(USAGE, {"what": f"unrecognized arguments: {' '.join(words)}"})


def _near(verb: str) -> str:
    import difflib  # noqa: PLC0415 - only for a typing error

    found = difflib.get_close_matches(verb, VERBS, n=1)
    return found[0] if found else ""
