"""The program `expd`: arguments and settings in, exit code out."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import trio

from expd.app import Daemon
from expd.distributed.messages import queue_of
from expd.journal import open_journal
from expd.linux.durable import NotPrivate
from expd.linux.filesystems import NotLocal
from expd.queueing.database import StoreUnusable
from expd.serve.listener import AlreadyRunning, StateTaken, UnusableAddress
from expd.settings import BadSettings, Settings, explain_settings, read_settings
from expproto import VERSION, address

EXIT_CANNOT_START = 1
EXIT_ALREADY_RUNNING = 75  # EX_TEMPFAIL of sysexits.h
EXIT_STATE_TAKEN = 73  # EX_CANTCREAT
EXIT_BAD_SETTINGS = 78  # EX_CONFIG

_SLOTS_MAX = 256
"""Runs at once on one host: each has a thread and a worker process."""

_journal = logging.getLogger("expd")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground until it is told to stop."""
    words = sys.argv[1:] if argv is None else list(argv)
    os.umask(0o077)
    if words[:1] == ["worker"]:
        return _work(_worker_parser().parse_args(words[1:]))
    arguments = _parser().parse_args(words)
    if arguments.settings:
        return _tell_settings()
    open_journal(os.environ, verbose=arguments.verbose)
    try:
        settings = read_settings(os.environ)
    except BadSettings as error:
        _journal.error("%s", error)
        return EXIT_BAD_SETTINGS
    return _run(settings, arguments.ready_fd)


def _tell_settings() -> int:
    """Print the settings as this environment has them, as one JSON document; what is wrong with them on stderr."""
    try:
        settings = explain_settings(os.environ)
    except BadSettings as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BAD_SETTINGS
    document = {"path": address.settings_path(os.environ), "settings": [asdict(setting) for setting in settings]}
    sys.stdout.write(json.dumps(document) + "\n")
    return 0


def _run(settings: Settings, ready_descriptor: int | None) -> int:
    try:
        trio.run(Daemon(os.environ, settings, ready_descriptor).run)
    except AlreadyRunning as error:
        _journal.error("another expd already serves %s: use it, or stop it with `expctl daemon stop`", error.path)
        return EXIT_ALREADY_RUNNING
    except StateTaken as error:
        _journal.error(
            "another expd, which listens at %s, works with %s: this shell has another XDG_RUNTIME_DIR or EXPD_RUNTIME_DIR "
            "(`export EXPD_RUNTIME_DIR=%s` reaches it)",
            error.socket,
            error.path,
            Path(error.socket).parent,
        )
        return EXIT_STATE_TAKEN
    except (NotPrivate, NotLocal, StoreUnusable, UnusableAddress, OSError) as error:
        _journal.error("%s", error)
        return EXIT_CANNOT_START
    return 0


def _work(arguments: argparse.Namespace) -> int:
    """Be a worker of another host's daemon until told to leave."""
    open_journal(os.environ, verbose=arguments.verbose)
    try:
        celery = read_settings(os.environ).engines.celery
        if celery is None:
            _journal.error("a worker needs broker and hub: [engines.celery] in config.toml (docs/howto/celery.md)")
            return EXIT_BAD_SETTINGS
        queues = [queue_of(name) for name in arguments.queue or [None]]
        from expd.distributed.host import WorkerHost  # noqa: PLC0415 - celery is an extra, and slow to import

        host = WorkerHost(celery, os.environ, queues, arguments.slots)
    except ModuleNotFoundError as error:
        _journal.error("%s: install the extra on this host: pip install 'expd[celery]'", error)
        return EXIT_CANNOT_START
    except (BadSettings, ValueError) as error:
        _journal.error("%s", error)
        return EXIT_BAD_SETTINGS
    except (NotPrivate, OSError) as error:
        _journal.error("%s", error)
        return EXIT_CANNOT_START
    return host.work()


def _worker_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="expd worker", description="Run the experiments of daemons on other hosts, which send them over a broker."
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is happening in detail")
    parser.add_argument("--engine", choices=["celery"], required=True, help="over which engine they come")
    parser.add_argument(
        "--queue", metavar="NAME", action="append", help="take those of --on celery:NAME (can be repeated)"
    )
    parser.add_argument("--slots", metavar="N", type=_slots, default=1, help="run so many at once (default 1)")
    return parser


def _slots(text: str) -> int:
    count = int(text)
    if not 1 <= count <= _SLOTS_MAX:
        raise ValueError
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="expd",
        description="Run experiments: keep the queue, run its entries, collect the results. Talk to it with expctl. `expd worker` runs those of other hosts.",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is happening in detail")
    parser.add_argument("--version", action="version", version=f"expd {VERSION}")
    parser.add_argument("--settings", action="store_true", help="print the settings as they would be used, and exit")
    parser.add_argument("--ready-fd", type=int, metavar="N", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
