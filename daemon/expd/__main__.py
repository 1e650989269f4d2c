"""The program `expd`: arguments and settings in, exit code out."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

import trio

from expd.app import Daemon
from expd.journal import open_journal
from expd.linux.durable import NotPrivate
from expd.queueing.database import StoreUnusable
from expd.serve.listener import AlreadyRunning, UnusableAddress
from expd.settings import BadSettings, Settings, read_settings
from expproto import VERSION

EXIT_CANNOT_START = 1
EXIT_ALREADY_RUNNING = 75  # EX_TEMPFAIL of sysexits.h
EXIT_BAD_SETTINGS = 78  # EX_CONFIG

_journal = logging.getLogger("expd")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground until it is told to stop."""
    arguments = _parser().parse_args(argv)
    os.umask(0o077)
    open_journal(os.environ, verbose=arguments.verbose)
    try:
        settings = read_settings(os.environ)
    except BadSettings as error:
        _journal.error("%s", error)
        return EXIT_BAD_SETTINGS
    return _run(settings, arguments.ready_fd)


def _run(settings: Settings, ready_descriptor: int | None) -> int:
    try:
        trio.run(Daemon(os.environ, settings, ready_descriptor).run)
    except AlreadyRunning as error:
        _journal.error("another expd already serves %s: use it, or stop it with `expctl daemon stop`", error.path)
        return EXIT_ALREADY_RUNNING
    except (NotPrivate, StoreUnusable, UnusableAddress, OSError) as error:
        _journal.error("%s", error)
        return EXIT_CANNOT_START
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="expd",
        description="Run experiments: keep the queue, run its entries, collect the results. Talk to it with expctl.",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is happening in detail")
    parser.add_argument("--version", action="version", version=f"expd {VERSION}")
    parser.add_argument("--ready-fd", type=int, metavar="N", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
