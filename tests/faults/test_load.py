"""Parallel is boring: many short experiments at once, while others work in the same repository."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.daemons import DEADLINE_SECONDS, a_daemon
from helpers.repositories import GIT_ENVIRONMENT, git

pytestmark = pytest.mark.load

EXPERIMENTS = 100
WORKERS = 4


def test_a_hundred_experiments_beside_commits_and_collections(repository: Path) -> None:
    """While two threads commit, collect garbage and pack refs, 100 of 100 succeed, and there are 100 refs."""
    baseline = git(repository, "rev-parse", "HEAD")
    with a_daemon(jobs=WORKERS) as daemon:
        daemon.expctl(repository, "pause")
        values = ",".join(str(number) for number in range(EXPERIMENTS // 2))
        daemon.expctl(repository, "submit", "-S", f"train.lr={values}", "-n", "pipeline")
        with _while_others_work(repository) as rounds:
            daemon.expctl(repository, "resume")
            for number in range(EXPERIMENTS // 2):
                _submit_command(daemon.environ, repository, f"command-{number}")
            daemon.run_expctl(repository, "wait", "--timeout", str(4 * DEADLINE_SECONDS))
        outcomes = [str(entry["outcome"]) for entry in daemon.entries(repository)]

    refs = git(
        repository, "for-each-ref", "--format=%(refname)", f"refs/exps/{baseline[:2]}/{baseline[2:]}"
    ).splitlines()
    elsewhere = git(repository, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    assert min(rounds) >= 3, "the others hardly worked"
    assert outcomes == ["succeeded"] * EXPERIMENTS
    assert len(refs) >= EXPERIMENTS // 2
    assert len(elsewhere) == EXPERIMENTS
    assert git(repository, "fsck", "--no-dangling") == ""
    for ref in elsewhere:
        git(repository, "cat-file", "-e", f"{ref}:metrics.json")


def _submit_command(environ: dict[str, str], repository: Path, name: str) -> None:
    """Submit with the client, trying again while the commit thread changes HEAD's index under the capture."""
    command = ["expctl", "submit", "-n", name, "--", "sh", "-c", f"echo '{{\"n\": 1}}' > metrics.json; echo {name}"]
    result = subprocess.run(
        command, cwd=repository, env=environ, capture_output=True, check=False, timeout=DEADLINE_SECONDS
    )
    assert result.returncode == 0, result.stderr


@contextmanager
def _while_others_work(repository: Path) -> Iterator[list[int]]:
    """Commit in one thread, collect garbage and pack refs in another, for as long as the block; gives their rounds."""
    over = threading.Event()
    rounds = [0, 0]

    def again_and_again(number: int, work: Callable[[int], None]) -> None:
        while not over.is_set():
            work(rounds[number])
            rounds[number] += 1

    def commit(round_number: int) -> None:
        (repository / "diary.txt").write_text(f"{round_number}\n")
        _git_may_fail(repository, "add", "diary.txt")
        _git_may_fail(repository, "commit", "--quiet", "--message", f"round {round_number}")

    def collect(_round: int) -> None:
        _git_may_fail(repository, "gc", "--quiet")
        _git_may_fail(repository, "pack-refs", "--all")

    threads = [threading.Thread(target=again_and_again, args=pair) for pair in enumerate((commit, collect))]
    for thread in threads:
        thread.start()
    try:
        yield rounds
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _git_may_fail(repository: Path, *arguments: str) -> None:
    """Run git as a user beside us would: the two threads may get into each other's way, which is theirs to bear."""
    environ = {**os.environ, **GIT_ENVIRONMENT}
    subprocess.run(["git", *arguments], cwd=repository, env=environ, capture_output=True, check=False)
