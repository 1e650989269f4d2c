"""A log of any length, and one that somebody takes away: the run goes on, and whoever looks is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.daemons import DEADLINE_SECONDS, RunningDaemon, a_daemon
from helpers.waiting import eventually

LIMIT = 256 * 1024
LAST = 200_000


@pytest.fixture
def limited() -> Iterator[RunningDaemon]:
    """Give a daemon that keeps a quarter of a megabyte of each log."""
    with a_daemon(config=f"grace_seconds = 1.0\nlog_bytes_max = {LIMIT}\n") as running:
        yield running


def test_a_log_beyond_its_limit_keeps_both_ends(limited: RunningDaemon, repository: Path) -> None:
    """The first and the last lines are there, follow says what is not, and the disk holds no more than the limit."""
    limited.expctl(repository, "submit", "-n", "chatty", "--", "seq", str(LAST))
    limited.expctl(repository, "wait", "chatty")

    followed = limited.run_expctl(repository, "follow", "--raw", "chatty")
    newest = limited.run_expctl(repository, "follow", "--raw", "-n", "3", "chatty")

    (log,) = (limited.state / "runs").glob("*.log")
    assert log.stat().st_blocks * 512 <= LIMIT
    assert followed.stdout.startswith(b"1\n2\n3\n")
    assert followed.stdout.endswith(f"\n{LAST - 1}\n{LAST}\n".encode())
    assert len(followed.stdout) <= LIMIT
    assert b"bytes of the log of 1 are missing" in followed.stderr
    assert newest.stdout == f"{LAST - 2}\n{LAST - 1}\n{LAST}\n".encode()
    assert "log_bytes_max" in limited.expctl(repository, "follow", "chatty")
    assert str(LAST) in limited.expctl(repository, "why", "chatty")


@pytest.mark.parametrize(
    ("harm", "said"),
    [(Path.unlink, b"the log was deleted"), (lambda log: log.write_bytes(b""), b"the log of 1 was truncated")],
    ids=["deleted", "truncated"],
)
def test_a_log_taken_away_is_told_and_the_run_goes_on(
    daemon: RunningDaemon, repository: Path, tmp_path: Path, harm: object, said: bytes
) -> None:
    """A follower hears of it and sees what is written afterwards; the outcome is what it would have been."""
    script = f"echo first; until test -e {tmp_path}/go; do sleep 0.05; done; echo last; exit 3"
    daemon.expctl(repository, "submit", "-n", "harmed", "--", "sh", "-c", script)
    log = daemon.state / "runs" / "1.log"
    eventually(lambda: log.exists() and log.read_bytes() == b"first\n", "the run has begun")
    follower = daemon.start_expctl(repository, "follow", "1")
    assert follower.stdout is not None
    seen = follower.stdout.readline()

    assert callable(harm)
    harm(log)
    (tmp_path / "go").touch()
    out, err = follower.communicate(timeout=DEADLINE_SECONDS)

    assert (seen, follower.returncode) == (b"first\n", 3)
    assert b"last\n" in out
    assert said in out + err


def test_a_log_deleted_before_anybody_looked_is_told(daemon: RunningDaemon, repository: Path) -> None:
    """Whoever comes later is told that there was one."""
    daemon.expctl(repository, "submit", "-n", "quiet", "--", "echo", "heard")
    daemon.expctl(repository, "wait", "quiet")
    (daemon.state / "runs" / "1.log").unlink()

    followed = daemon.run_expctl(repository, "follow", "quiet")

    assert b"the log was deleted" in followed.stdout
    assert not (daemon.state / "runs" / "1.log").exists()
    assert followed.returncode == 0
