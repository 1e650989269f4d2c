"""One day of a machine from a seed: clients, a daemon, workers, and everything that can go wrong; then what must hold."""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
import trio.testing
from trio._core import _run

from expd.gitio.refs import ENTRIES, names_below, read_ref
from expd.gitio.repository import Repository
from expd.queueing.database import open_connection
from expd.queueing.retrying import LOSSES_MAX
from expproto.requests import Wait
from expproto.vocabulary import Ending, EntryState, Rev, Succeeded
from helpers.repositories import a_repository, git
from helpers.simulation.clients import Client, fiddle, let_all_go, stop, submit_some
from helpers.simulation.lives import descriptors_of, keep_alive, threads_inline
from helpers.simulation.trouble import make_trouble
from helpers.simulation.world import World

_RESULTS = 100
_CLIENTS_MAX = 3
_STEPS_MAX = 20_000
"""In one moment; a few hundred are usual."""
_RECOVERY_SECONDS = 5.0
"""Within which a start has found and mended what a crash has left."""
_STEERING_SECONDS = 60.0
_PATIENCE_SECONDS = 3 * 3600.0
"""Virtual: a bad day lasts minutes, and what has not come to rest hours later never will."""


@dataclass(frozen=True)
class Project:
    """What every simulation begins with: a repository, and commits that its runs may make."""

    path: Path
    baseline: Rev
    results: Sequence[Rev]


@dataclass(frozen=True)
class Day:
    """What came of a seed."""

    story: list[str]
    runs: int
    lives: int


def a_simulated_project(path: Path) -> Project:
    """Make the repository, once for all seeds."""
    a_repository(path, {"params.yaml": "lr: 0\n"})
    git(path, "config", "gc.auto", "0")
    shutil.rmtree(path / ".git" / "hooks")
    baseline, tree = git(path, "rev-parse", "HEAD"), git(path, "rev-parse", "HEAD^{tree}")
    results = [Rev(git(path, "commit-tree", tree, "-p", baseline, "-m", f"result {n}")) for n in range(_RESULTS)]
    for rev in results:
        git(path, "update-ref", f"refs/kept/{rev}", rev)
    git(path, "gc", "--quiet")
    return Project(path, Rev(baseline), results)


def simulate(seed: int, project: Project) -> Day:
    """Live one day; raises AssertionError with the end of its story if something did not hold."""
    directory = Path(tempfile.mkdtemp(prefix="expd-simulation-", dir=_fast_directory()))
    story: list[str] = []
    try:
        shutil.copytree(project.path, directory / "project")
        _run._hypothesis_plugin_setup()  # trio's own: tasks that are ready are sorted before they are shuffled
        _run._r.seed(seed)
        with threads_inline(), _journal_in(story):
            clock, spinning = trio.testing.MockClock(autojump_threshold=0), _Spinning()
            return trio.run(_live, seed, directory, project, story, spinning, clock=clock, instruments=[spinning])
    except BaseException as error:
        error.add_note("\n".join([f"EXPD_FAULT_SEED={seed}", *story[-60:]]))
        raise
    finally:
        shutil.rmtree(directory)


class _Spinning(trio.abc.Instrument):
    """Notices tasks that go on and on while no time passes; `scope` is cancelled then."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.who: set[str] = set()
        self._steps = 0
        self._time = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count the steps of one moment."""
        now = trio.current_time()
        self._steps = self._steps + 1 if now == self._time else 0
        self._time = now
        if self._steps > _STEPS_MAX:
            self.who.add(task.name)
        if self._steps > 2 * _STEPS_MAX:
            self.scope.cancel()


class _Telling(logging.Handler):
    """Makes the daemon's journal a part of the story; a bug that it met ends the simulation."""

    def __init__(self, story: list[str]) -> None:
        super().__init__(logging.INFO)
        self._story = story

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line."""
        self._story.append(f"           - {record.getMessage()}")
        if record.exc_info:
            raise AssertionError(f"the daemon met a bug: {record.getMessage()}") from record.exc_info[1]


@contextmanager
def _journal_in(story: list[str]) -> Iterator[None]:
    journal, handler = logging.getLogger("expd"), _Telling(story)
    before = (journal.level, journal.propagate)
    journal.addHandler(handler)
    journal.level, journal.propagate = logging.INFO, False
    try:
        yield
    finally:
        journal.removeHandler(handler)
        journal.level, journal.propagate = before


def _fast_directory() -> str | None:
    """Prefer memory: what a disk loses is tried elsewhere, with real ones."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


async def _live(seed: int, directory: Path, project: Project, story: list[str], spinning: _Spinning) -> Day:
    with spinning.scope:
        async with trio.open_nursery() as nursery:
            world = World(
                seed=seed,
                directory=directory,
                baseline=project.baseline,
                results=project.results,
                nursery=nursery,
                story=story,
            )
            nursery.start_soon(keep_alive, world)
            nursery.start_soon(_lose_patience, world)
            with descriptors_of(world):
                async with trio.open_nursery() as patient:
                    await _have_trouble(world, patient)
                    await _come_to_rest(world)
                await _come_to_rest(world)
                await _end(world)
            nursery.cancel_scope.cancel()
        _check_end(world)
        return Day(story=story, runs=len(world.begun), lives=world.lives)
    raise AssertionError(f"nothing but these went on, and no time passed: {sorted(spinning.who)}")


async def _lose_patience(world: World) -> None:
    await trio.sleep(_PATIENCE_SECONDS)
    world.crash()
    raise AssertionError(f"nothing came to rest in {_PATIENCE_SECONDS:.0f} s")


async def _have_trouble(world: World, patient: trio.Nursery) -> None:
    """Let clients work while everything goes wrong; who waits for the end of an entry does so in `patient`."""
    async with trio.open_nursery() as busy:
        for number in range(world.chance("clients").randint(1, _CLIENTS_MAX)):
            busy.start_soon(submit_some, world, number, patient)
        busy.start_soon(fiddle, world)
        busy.start_soon(make_trouble, world)
    world.note("calm")
    world.disk.crash_in_commits = None


async def _come_to_rest(world: World) -> None:
    """Wait until nothing waits or runs, taking back what somebody who steers may still do meanwhile."""
    client = Client(world, "calm")
    await let_all_go(world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_let_all_go_again_and_again, world)
        await client.insist(Wait(cwd=client.cwd))
        nursery.cancel_scope.cancel()


async def _let_all_go_again_and_again(world: World) -> None:
    while True:
        await trio.sleep(_STEERING_SECONDS)
        await let_all_go(world)


async def _end(world: World) -> None:
    """Stop, and let one more daemon look through everything and stop too."""
    for is_last in (False, True):
        await world.wait_listening()
        life, world.is_over = world.life, is_last
        await trio.sleep(_RECOVERY_SECONDS)
        await stop(world, Ending.DRAIN)
        while world.life is life:
            await world.changed.next_ring.wait()


def _check_end(world: World) -> None:
    """After a day: each row's refs are there and no others, no process is left, no record, and nothing is under way."""
    assert not world.commands, f"still running: {world.commands}"
    assert not world.workers, f"workers are left: {list(world.workers)}"
    left = [path.name for path in world.runs_directory.glob("*.outcome")]
    assert not left, f"outcomes were not settled: {left}"
    repository = Repository(world.project / ".git")
    connection = open_connection(world.directory / "state" / "queue.db")
    try:
        rows = connection.execute(
            "SELECT entries.id, submissions.held_as, state, losses, json_extract(outcome, '$.rev') AS rev, entries.git_directory"
            " FROM entries JOIN submissions ON submissions.id = entries.submission"
        ).fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    finally:
        connection.close()
    for row in rows:
        is_over = row["state"] == EntryState.DONE or (row["state"] == EntryState.HELD and row["losses"] >= LOSSES_MAX)
        assert is_over, f"entry {row['id']} came to no end: {tuple(row)}"
    known = {entry for entries in world.acknowledged.values() for entry in entries}
    assert known - world.removed <= {row["id"] for row in rows}, "acknowledged, and lost"
    held = set(names_below(repository, ENTRIES, ENTRIES))
    assert held == {row["held_as"] for row in rows}, "refs and rows differ"
    _check_results(repository, world, {row["rev"] for row in rows if row["rev"] is not None})


def _check_results(repository: Repository, world: World, revs: set[str]) -> None:
    names = names_below(repository, "refs/exps/", "")
    filed = [read_ref(repository, name) for name in names]
    assert len(filed) == len(set(filed)), "one result has two refs"
    assert revs <= set(filed), "a result has no ref"
    succeeded = {
        world.results[run % len(world.results)]
        for run in world.begun
        if world.disk.outcome_of(run) == Succeeded.kind
    }  # fmt: skip
    assert set(filed) <= succeeded, "a ref holds what no run made"
