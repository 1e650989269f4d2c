"""A result gets its ref however long that takes, over nobody else's, and once."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from expd.collect.filing import Result, file_result
from expproto.vocabulary import Rev
from helpers.repositories import a_repository, git


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a repository with a baseline and three commits on top that no branch holds."""
    project = a_repository(tmp_path / "project", {"file": "0\n"})
    for number in range(1, 11):
        tree = git(project, "rev-parse", "HEAD^{tree}")
        commit = git(project, "commit-tree", tree, "-p", "HEAD", "-m", f"result {number}")
        git(project, "tag", f"result-{number}", commit)
    return project


def result_of(project: Path, number: int, *, name: str = "tried", force: bool = False) -> Result:
    """Give one of the commits as a result that waits for its ref."""
    return Result(
        git_directory=project / ".git",
        baseline_rev=Rev(git(project, "rev-parse", "HEAD")),
        name=name,
        rev=Rev(git(project, "rev-parse", f"result-{number}")),
        force=force,
    )


def experiments(project: Path) -> dict[str, str]:
    """List what is filed under HEAD: name → message."""
    lines = git(project, "for-each-ref", "--format=%(refname) %(contents:subject)", "refs/exps").splitlines()
    head = git(project, "rev-parse", "HEAD")
    prefix = f"refs/exps/{head[:2]}/{head[2:]}/"
    assert all(line.startswith(prefix) for line in lines), lines
    return dict(line.removeprefix(prefix).split(" ", 1) for line in lines)


async def file(result: Result) -> str:
    """File a result as the pool does."""
    return await file_result(result, trio.CapacityLimiter(1))


async def test_a_result_gets_the_ref_of_its_name(project: Path) -> None:
    """The ref is in DVC's place, loose, and holds the commit."""
    name = await file(result_of(project, 1))

    head = git(project, "rev-parse", "HEAD")
    assert name == "tried"
    assert experiments(project) == {"tried": "result 1"}
    assert (project / ".git" / "refs" / "exps" / head[:2] / head[2:] / "tried").is_file()


async def test_a_taken_name_is_given_way_to(project: Path) -> None:
    """Results of one name are all there, the later ones with a number."""
    names = [await file(result_of(project, number)) for number in (1, 2, 3)]

    assert names == ["tried", "tried-2", "tried-3"]
    assert experiments(project) == {"tried": "result 1", "tried-2": "result 2", "tried-3": "result 3"}


async def test_filing_again_changes_nothing(project: Path) -> None:
    """After a crash between ref and row a result is filed again: it keeps the name it has, numbered or not."""
    first = [await file(result_of(project, number)) for number in (1, 2)]

    again = [await file(result_of(project, number)) for number in (1, 2)]

    assert first == again == ["tried", "tried-2"]
    assert len(experiments(project)) == 2


async def test_force_takes_the_name(project: Path) -> None:
    """A forced result replaces what has its name, and nothing else."""
    await file(result_of(project, 1))
    await file(result_of(project, 2))

    assert await file(result_of(project, 3, force=True)) == "tried"
    assert experiments(project) == {"tried": "result 3", "tried-2": "result 2"}


async def test_the_results_of_earlier_attempts_are_replaced(project: Path) -> None:
    """What an entry itself filed under the name gives way to its next result, and nothing else does."""
    await file(result_of(project, 1))
    await file(result_of(project, 2, name="theirs"))
    own = [Rev(git(project, "rev-parse", "result-1"))]

    names = [await file(replace(result_of(project, 3, name=name), replaces=own)) for name in ("tried", "theirs")]

    assert names == ["tried", "theirs-2"]
    assert experiments(project) == {"tried": "result 3", "theirs": "result 2", "theirs-2": "result 3"}


async def test_a_packed_name_is_taken_too(project: Path) -> None:
    """After `git pack-refs` a name is as taken as before, and a result filed under it is known."""
    await file(result_of(project, 1))
    git(project, "pack-refs", "--all")

    assert [await file(result_of(project, number)) for number in (1, 2)] == ["tried", "tried-2"]


@contextmanager
def _given_back_later(obstacle: Path, original: Path) -> Iterator[None]:
    """Take an obstacle away while the block runs: when the first thread switch has come, and from another thread."""
    timer = threading.Timer(0.1, lambda: obstacle.rename(original) if original != obstacle else obstacle.unlink())
    timer.start()
    try:
        yield
    finally:
        timer.join()


async def test_a_lock_is_waited_for(project: Path) -> None:
    """A ref that another Git has locked is set as soon as the lock is gone."""
    result = result_of(project, 1)
    directory = project / ".git" / "refs" / "exps" / result.baseline_rev[:2] / result.baseline_rev[2:]
    directory.mkdir(parents=True)
    lock = directory / "tried.lock"
    lock.touch()

    with _given_back_later(lock, lock):
        name = await file(result)

    assert (name, experiments(project)) == ("tried", {"tried": "result 1"})


async def test_a_repository_that_is_away_is_waited_for(project: Path) -> None:
    """A disk that is mounted again a moment later costs no result."""
    result = result_of(project, 1)
    (project / ".git").rename(project / "away")

    with _given_back_later(project / "away", project / ".git"):
        name = await file(result)

    assert (name, experiments(project)) == ("tried", {"tried": "result 1"})


async def test_waiting_for_a_lock_can_be_given_up(project: Path) -> None:
    """A daemon that ends does not wait for the lock: the filing is cancelled, and the name stays free."""
    result = result_of(project, 1)
    directory = project / ".git" / "refs" / "exps" / result.baseline_rev[:2] / result.baseline_rev[2:]
    directory.mkdir(parents=True)
    (directory / "tried.lock").touch()

    with trio.move_on_after(0.2) as giving_up:
        await file(result)

    assert giving_up.cancelled_caught
    assert (directory / "tried.lock").exists()
    assert experiments(project) == {}


async def test_results_filed_at_once_all_get_a_name(project: Path) -> None:
    """Ten results of one name, filed side by side with threads of their own, are ten experiments."""
    names: list[str] = []
    limiter = trio.CapacityLimiter(4)

    results = [result_of(project, number, name="crowd") for number in range(1, 11)]

    async def file_one(result: Result) -> None:
        names.append(await file_result(result, limiter))

    async with trio.open_nursery() as nursery:
        for result in results:
            nursery.start_soon(file_one, result)

    filed = experiments(project)
    assert sorted(names) == sorted(filed) == sorted(["crowd", *(f"crowd-{number}" for number in range(2, 11))])
    assert len(set(filed.values())) == 10


async def test_who_holds_a_lock_is_told(project: Path) -> None:
    """A lock that lasts is told with the process that has it open; one that nobody has is told as perhaps left behind."""
    result = result_of(project, 1)
    lock = project / ".git" / f"refs/exps/{result.baseline_rev[:2]}/{result.baseline_rev[2:]}/tried.lock"
    lock.parent.mkdir(parents=True)
    told = list[str]()

    def hear(what: str) -> None:
        told.append(what)
        if "doctor" in what:
            lock.unlink()
        elif "has it" in what:
            held.close()

    with lock.open("w") as held:
        await file_result(result, trio.CapacityLimiter(1), hear)

    assert any(f"(process {os.getpid()}) has it" in what for what in told)
    assert experiments(project) == {"tried": "result 1"}


async def test_a_name_that_differs_by_case_alone_is_given_way_to(project: Path) -> None:
    """Somebody made it with DVC meanwhile: both results are kept, under names that no file system takes for one."""
    await file(result_of(project, 1, name="Tried"))

    names = [await file(result_of(project, 2, force=force)) for force in (False, True)]

    assert names == ["tried-2", "tried-2"]
    assert experiments(project) == {"Tried": "result 1", "tried-2": "result 2"}
