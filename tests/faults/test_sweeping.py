"""What a daemon that is killed between a submission's ref and its row leaves is swept by the next; what others hold stays."""

import subprocess
from pathlib import Path

from helpers.daemons import BIN, DEADLINE_SECONDS, RunningDaemon
from helpers.repositories import git
from helpers.waiting import eventually

HELD = "refs/expd/entries"
POINTS = 200
"""Their objects are looked for once more after the ref stands, which takes long enough to be hit."""
ROUNDS = 5


def _held(repository: Path) -> set[str]:
    return set(git(repository, "for-each-ref", "--format=%(refname)", HELD).splitlines())


def _submissions(daemon: RunningDaemon, repository: Path) -> int:
    return len({entry["submission"] for entry in daemon.entries(repository)})


def _submit_until_held(daemon: RunningDaemon, repository: Path) -> subprocess.Popen[bytes]:
    """Submit a sweep; returns in the moment in which its ref appears."""
    before = set((repository / ".git" / HELD).rglob("*"))
    client = subprocess.Popen(
        [BIN / "expctl", "submit", "--hold", "-S", f"train.lr=range({POINTS})"],
        cwd=repository, env=daemon.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    eventually(
        lambda: any(path.suffix != ".lock" for path in set((repository / ".git" / HELD).rglob("*")) - before),
        "the ref is there",
    )
    return client


def _reap(client: subprocess.Popen[bytes]) -> None:
    client.kill()
    client.communicate(timeout=DEADLINE_SECONDS)


def test_a_ref_whose_row_never_came_is_swept(daemon: RunningDaemon, repository: Path) -> None:
    """Killed in between, the submission is absent, ref and all; one of another daemon, and one that is whole, stay."""
    daemon.expctl(repository, "submit", "--hold", "-n", "kept", "--", "true")
    git(repository, "update-ref", f"{HELD}/0123abcd/{'f' * 32}", "HEAD")
    whole, orphans = _held(repository), 0

    for _round in range(ROUNDS):
        client = _submit_until_held(daemon, repository)
        daemon.kill()
        _reap(client)
        daemon.restart()
        orphans += _submissions(daemon, repository) < len(_held(repository))
        eventually(lambda: _submissions(daemon, repository) == len(_held(repository)) - 1, "refs and rows agree")

    assert whole <= _held(repository)
    assert orphans or _submissions(daemon, repository) <= ROUNDS  # else no round met the moment, and nothing was shown


def test_a_client_that_dies_leaves_a_submission_whole_or_absent(daemon: RunningDaemon, repository: Path) -> None:
    """Killed before the answer, its submission has rows and a ref, or neither, without a restart of the daemon."""
    for _round in range(ROUNDS):
        _reap(_submit_until_held(daemon, repository))

        eventually(lambda: _submissions(daemon, repository) == len(_held(repository)), "refs and rows agree")
    assert all(entry["state"] == "held" for entry in daemon.entries(repository))
    assert len(daemon.entries(repository)) % POINTS == 0


def test_what_the_last_entry_of_a_repository_held_is_swept(daemon: RunningDaemon, repository: Path) -> None:
    """The ref could not go with the rows; the next start knows where to look, though no entry of the repository is left."""
    daemon.expctl(repository, "submit", "-n", "one", "--", "true")
    daemon.expctl(repository, "wait", "one")
    lock = repository / ".git" / "packed-refs.lock"
    lock.touch()
    daemon.run_expctl(repository, "remove", "one")
    lock.unlink()
    left = _held(repository)

    daemon.stop()
    daemon.restart()

    assert (daemon.entries(repository), len(left)) == ([], 1)
    eventually(lambda: not _held(repository), "refs and rows agree")
