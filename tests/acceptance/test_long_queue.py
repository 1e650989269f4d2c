"""A queue that is longer than a screen: what a person sees of it, and what a program gets."""

from pathlib import Path

from helpers.daemons import RunningDaemon, rows

WAITING = 60


def test_a_person_is_shown_the_nearest_entries_and_a_program_all(daemon: RunningDaemon, repository: Path) -> None:
    """`status` names thirty and counts the rest; with `--all`, `--json` or `--quiet` it leaves out nothing."""
    daemon.run_expctl(repository, "submit", "--hold", "-S", f"+x=range({WAITING})")

    shown = daemon.run_expctl(repository, "status")
    whole = daemon.run_expctl(repository, "status", "--all")
    ids = daemon.run_expctl(repository, "status", "--quiet")

    assert len(shown.stdout.splitlines()) == 30
    assert shown.stderr == b"30 more entries: expctl status --all\n"
    assert (len(whole.stdout.splitlines()), whole.stderr) == (WAITING, b"")
    assert len(ids.stdout.split()) == WAITING
    assert len(rows(daemon.expctl_json(repository, "status"), "entries")) == WAITING
