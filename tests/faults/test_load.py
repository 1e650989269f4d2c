"""Parallel is boring: many short experiments at once, while others work in the same repository."""

import itertools
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.daemons import DEADLINE_SECONDS, RunningDaemon, a_daemon
from helpers.repositories import GIT_ENVIRONMENT, git

pytestmark = pytest.mark.load

EXPERIMENTS = 100
WORKERS = 4
MANY_WORKERS, REPEATS = 20, 10
POLLING, POLL_SECONDS = 3, 0.1
LOCK_SECONDS = 0.3
"""How long somebody holds a ref's lock; the results whose refs these are wait for it."""
ROUND_SECONDS_MAX = 1800


def test_a_hundred_experiments_beside_commits_and_collections(repository: Path) -> None:
    """While others commit, rebase, collect garbage and pack refs, 100 of 100 succeed, and there are 100 refs."""
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
    """Commit in one thread, collect garbage and pack refs in another, rebase in a third, for as long as the block; gives their rounds.

    The rebases are in a work tree of their own: in the middle of one nothing can be captured, which is said and no fault.
    """
    over = threading.Event()
    rounds = [0, 0, 0]
    side = repository.parent / "side"
    if not side.exists():
        git(repository, "worktree", "add", "--quiet", "-b", "side", str(side))

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

    def rebase(round_number: int) -> None:
        for number in range(3):
            (side / "side.txt").write_text(f"{round_number} {number}\n")
            _git_may_fail(side, "commit", "--quiet", "--all", "--message", f"side {number}")
            _git_may_fail(side, "add", "side.txt")
        _git_may_fail(side, "rebase", "--quiet", "--force-rebase", "HEAD~2")
        _git_may_fail(side, "rebase", "--abort")

    works = (commit, collect, rebase)
    threads = [threading.Thread(target=again_and_again, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    try:
        yield rounds
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _git_may_fail(repository: Path, *arguments: str) -> None:
    """Run git as a user beside us would: they may get into each other's way, which is theirs to bear."""
    environ = {**os.environ, **GIT_ENVIRONMENT}
    subprocess.run(["git", *arguments], cwd=repository, env=environ, capture_output=True, check=False)


@pytest.mark.faults
def test_a_thousand_experiments_beside_everything(repository: Path) -> None:
    """Ten times 100 experiments on 20 workers beside commits, rebases, collections, held locks and polling clients: 1,000 succeed."""
    with a_daemon(jobs=MANY_WORKERS) as daemon:
        for repeat in range(REPEATS):
            with _while_others_work(repository), _while_clients_poll(daemon, repository):
                values = ",".join(str(number) for number in range(repeat * 1000, repeat * 1000 + EXPERIMENTS))
                daemon.expctl(repository, "submit", "-S", f"train.lr={values}", "-n", f"r{repeat}")
                with _while_locks_are_held(repository, str(daemon.entries(repository)[-1]["baseline_rev"]), repeat):
                    _wait_for_all(daemon, repository)
            done = sum(entry["outcome"] == "succeeded" for entry in daemon.entries(repository))
            print(f"{done} of {(repeat + 1) * EXPERIMENTS} have succeeded")  # noqa: T201 - how far it came
        outcomes = [str(entry["outcome"]) for entry in daemon.entries(repository)]

    refs = git(repository, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    assert outcomes == ["succeeded"] * EXPERIMENTS * REPEATS
    assert len(refs) == EXPERIMENTS * REPEATS
    assert git(repository, "fsck", "--no-dangling") == ""


def _wait_for_all(daemon: RunningDaemon, repository: Path) -> None:
    command = ["expctl", "wait", "--timeout", str(ROUND_SECONDS_MAX)]
    subprocess.run(command, cwd=repository, env=daemon.environ, capture_output=True, check=True)


@contextmanager
def _working(*works: Callable[[], None], pause_seconds: float) -> Iterator[None]:
    """Do each of these again and again, each in a thread, for as long as the block."""
    over = threading.Event()

    def again_and_again(work: Callable[[], None]) -> None:
        while not over.wait(pause_seconds):
            work()

    threads = [threading.Thread(target=again_and_again, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextmanager
def _while_locks_are_held(repository: Path, baseline: str, repeat: int) -> Iterator[None]:
    """Hold the lock of one result's ref after the other, as a git that is being watched in a debugger would."""
    numbers = itertools.count()

    def hold() -> None:
        name = f"r{repeat}-{next(numbers) % EXPERIMENTS + 1}"
        lock = repository / ".git" / "refs" / "exps" / baseline[:2] / baseline[2:] / f"{name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.touch(exist_ok=False)
        except FileExistsError:
            return
        threading.Event().wait(LOCK_SECONDS)
        lock.unlink()

    with _working(hold, pause_seconds=LOCK_SECONDS):
        yield


@contextmanager
def _while_clients_poll(daemon: RunningDaemon, repository: Path) -> Iterator[None]:
    """Ask for the state ten times a second, as three terminals with `watch` do; each answer must come."""

    def ask() -> None:
        assert len(daemon.entries(repository)) >= 0

    with _working(*[ask] * POLLING, pause_seconds=POLL_SECONDS):
        yield
