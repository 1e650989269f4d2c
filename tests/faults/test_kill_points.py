"""Killed at each system call that may make something durable, one after the other: what must hold is checked after each kill.

Points are counted in a trace of the undisturbed operation. `make test` draws some of them from a seed for as long as it has
time, `make faults` goes through every fifth of each name, from one that is drawn; EXPD_FAULT_EVERY=1 takes all.
"""

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from helpers.daemons import BIN, DEADLINE_SECONDS, RunningDaemon, a_daemon
from helpers.guards import Guards
from helpers.invariants import check_all
from helpers.killpoints import CALLS, Point, draw, every, needs_strace, points_of, recorded, traced
from helpers.repositories import a_repository, git
from helpers.seeds import a_seed
from helpers.waiting import eventually

pytestmark = needs_strace

SAMPLE_SECONDS = 3
"""For each operation; a point takes half a second to two."""
POINTS_MIN = 1
EVERY = int(os.environ.get("EXPD_FAULT_EVERY") or 5)
SPAWNING = ("-f", "--seccomp-bpf")
"""Whom strace starts is stopped at the calls that are traced only; whom it is attached to, at every call."""
REACHED_OF = 20
"""From so many points on most must have been reached; no two runs make the same number of calls."""


class Scene:
    """One repository and one set of surroundings through all kills, and what clients were told meanwhile."""

    def __init__(self, daemon: RunningDaemon, directory: Path) -> None:
        self.daemon = daemon
        self.project = a_repository(directory / "project")
        self.acknowledged: set[str] = set()
        self.guards = Guards(directory / "guards")
        self._directory = directory

    def submit(self, name: str, script: str = "true") -> bool:
        """Submit a guarded command; whether it was acknowledged."""
        command = ("sh", "-c", self.guards.script(name, script))
        answered = self.daemon.run_expctl(self.project, "submit", "-n", name, "--", *command).returncode == 0
        if answered:
            self.acknowledged.add(name)
        return answered

    def submit_waiting(self, name: str) -> None:
        """Have an entry run until `open` is called, and wait until it does."""
        gate, go = self._gate(name)
        os.mkfifo(gate)
        waits = f"[ -e '{go}' ] || {{ echo started > '{gate}'; cat '{gate}'; }}; echo made > made.txt"
        assert self.submit(name, waits), self.daemon.journal()
        gate.read_text()

    def open(self, name: str) -> None:
        """Let a waiting entry, and any later run of it, go on."""
        gate, _go = self._gate(name)
        self.let_pass(name)
        gate.write_text("go on\n")

    def let_pass(self, name: str) -> None:
        """Let later runs of an entry go on at once."""
        self._gate(name)[1].touch()

    def outcome(self, name: str) -> str:
        """Wait for the end of an entry, and say how it ended."""
        self.daemon.run_expctl(self.project, "wait", "--timeout", str(DEADLINE_SECONDS // 2), name)
        return str(self.daemon.entries(self.project, name)[0]["outcome"])

    def restart(self) -> None:
        """Start the next daemon, if this one has died."""
        if self.daemon.process.poll() is not None:
            self.daemon.restart()

    def workers(self) -> list[psutil.Process]:
        """Find the workers of these surroundings."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "expd.execute" in command and str(self.daemon.socket) in command:
                found.append(process)
        return found

    def check(self) -> None:
        """What must always hold."""
        self.guards.check()
        check_all(self.daemon, self.project, self.acknowledged)

    def _gate(self, name: str) -> tuple[Path, Path]:
        return self._directory / f"{name}.gate", self._directory / f"{name}.go"


class Submitting:
    """A submission, of a daemon at rest."""

    def before(self, scene: Scene, name: str) -> int:
        """Choose the victim."""
        assert name not in scene.acknowledged
        return scene.daemon.process.pid

    def act(self, scene: Scene, name: str) -> None:
        """Submit."""
        scene.submit(name)

    def after(self, scene: Scene, name: str) -> None:
        """It runs if it is there, acknowledged or not."""
        if any(entry["name"] == name for entry in scene.daemon.entries(scene.project)):
            assert scene.outcome(name) == "succeeded"


class Finishing(Submitting):
    """The end of a run, as the daemon goes through it."""

    def before(self, scene: Scene, name: str) -> int:
        """Have an entry run."""
        scene.submit_waiting(name)
        return scene.daemon.process.pid

    def act(self, scene: Scene, name: str) -> None:
        """Let it end."""
        scene.open(name)
        scene.daemon.run_expctl(scene.project, "wait", "--timeout", "20", name)


class FinishingWorker(Finishing):
    """The same as the worker goes through it: what it had not brought to its end is lost, and runs again."""

    def before(self, scene: Scene, name: str) -> int:
        """Choose the worker that runs the entry."""
        scene.submit_waiting(name)
        (worker,) = (worker for worker in scene.workers() if worker.children())
        return int(worker.pid)


class Cancelling(Finishing):
    """The cancelling of a run."""

    def act(self, scene: Scene, name: str) -> None:
        """Cancel."""
        scene.daemon.run_expctl(scene.project, "cancel", name)
        scene.daemon.run_expctl(scene.project, "wait", "--timeout", "20", name)

    def after(self, scene: Scene, name: str) -> None:
        """Asked for again, it is cancelled in any case, and nothing of it lives."""
        scene.daemon.expctl(scene.project, "cancel", name)
        assert scene.outcome(name) == "cancelled"
        assert not any(child for worker in scene.workers() for child in worker.children())


class Editing(Submitting):
    """The giving of other parameters to an entry that waits."""

    def before(self, scene: Scene, name: str) -> int:
        """Have an entry wait."""
        script = scene.guards.script(name, "grep -q 'lr: 0.[17]' params.yaml")
        scene.daemon.expctl(scene.project, "submit", "--hold", "-n", name, "--", "sh", "-c", script)
        return scene.daemon.process.pid

    def act(self, scene: Scene, name: str) -> None:
        """Edit it; what the daemon's death has cut short the client would do again with the next one."""
        scene.daemon.run_expctl(scene.project, "edit", name, "-S", "train.lr=0.7")

    def after(self, scene: Scene, name: str) -> None:
        """Its row and what it runs agree, through a collection; its ref holds no more than that."""
        (entry,) = scene.daemon.entries(scene.project, name)
        text = git(scene.project, "show", f"{entry['stash_rev']}:params.yaml")
        assert ("0.7" in text) == (entry["params"] == {"train.lr": 0.7})
        eventually(lambda: _keeps_only(scene.project, str(entry["stash_rev"])), "the ref is narrow")
        git(scene.project, "gc", "--quiet", "--prune=now")
        scene.daemon.expctl(scene.project, "release", name)
        assert scene.outcome(name) == "succeeded"
        scene.daemon.expctl(scene.project, "remove", name)


def _keeps_only(project: Path, stash: str) -> bool:
    """Tell whether the refs hold one stash commit, as itself or by a keeper, and none beside it."""
    held = git(project, "for-each-ref", "--format=%(objectname) %(parent)", "refs/expd/entries").splitlines()
    return any(line.split() == [stash, *line.split()[1:]] or line.split()[1:] == [stash] for line in held)


@contextmanager
def _a_scene(directory: Path) -> Iterator[Scene]:
    with a_daemon(jobs=2, config="grace_seconds = 0.5\n") as daemon:
        yield Scene(daemon, directory)


def _try(scene: Scene, operation: Submitting, name: str, point: Point) -> bool:
    """Kill the victim of an operation at one point; False if it never came there."""
    victim = psutil.Process(operation.before(scene, name))
    with traced(victim.pid, *point.options):
        operation.act(scene, name)
    is_dead = not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE
    scene.restart()
    operation.after(scene, name)
    scene.check()
    return is_dead


def _points_of(scene: Scene, operation: Submitting, trace: Path) -> list[Point]:
    """Count the points of an undisturbed operation; the first one of all is no measure."""
    operation.act(scene, "warm") if operation.before(scene, "warm") else None
    operation.after(scene, "warm")
    with recorded(operation.before(scene, "counted"), trace):
        operation.act(scene, "counted")
    operation.after(scene, "counted")
    return points_of(trace.read_text().splitlines())


def _sample(found: Sequence[Point]) -> Iterator[Point]:
    """Draw points for as long as there is time."""
    deadline = time.monotonic() + SAMPLE_SECONDS
    for number, point in enumerate(draw(found, random.Random(a_seed()))):
        if number >= POINTS_MIN and time.monotonic() > deadline:
            return
        yield point


def _every(found: Sequence[Point]) -> Iterator[Point]:
    return every(found, EVERY, random.Random(a_seed()))


def _kill_at(scene: Scene, operation: Submitting, chosen: Iterator[Point]) -> None:
    killed = Counter[str]()
    tried = 0
    for point in chosen:
        tried += 1
        print(f"{point.call} {point.number}")  # noqa: T201 - the last one is what failed
        killed[point.call] += _try(scene, operation, f"n{tried}", point)
    print(f"{killed.total()} of {tried} points killed: {dict(killed)}")  # noqa: T201 - how much was tried
    assert tried < REACHED_OF or killed.total() > tried // 2, "most points were never reached"


SAMPLED = [Submitting(), Finishing(), FinishingWorker(), Cancelling()]
ALL = [*SAMPLED, Editing()]


@pytest.mark.parametrize("operation", SAMPLED, ids=lambda each: type(each).__name__)
def test_a_kill_at_some_call_loses_nothing(tmp_path: Path, operation: Submitting) -> None:
    """Killed at points drawn from a seed, daemon or worker leave nothing false, lost or doubled behind."""
    with _a_scene(tmp_path) as scene:
        _kill_at(scene, operation, _sample(_points_of(scene, operation, tmp_path / "trace")))


@pytest.mark.faults
@pytest.mark.parametrize("operation", ALL, ids=lambda each: type(each).__name__)
def test_a_kill_at_any_call_loses_nothing(tmp_path: Path, operation: Submitting) -> None:
    """So it is from the first call to the last."""
    with _a_scene(tmp_path) as scene:
        _kill_at(scene, operation, _every(_points_of(scene, operation, tmp_path / "trace")))


class Start:
    """The start of a daemon that has everything to recover: a run that ended meanwhile, and one that vanished."""

    def __init__(self, scene: Scene, trace: Path) -> None:
        self._scene = scene
        self._trace = trace

    def break_down(self, name: str) -> None:
        """End the daemon with two entries running: one ends by itself then, the worker of the other is killed."""
        scene, ended, lost = self._scene, f"{name}-ended", f"{name}-lost"
        scene.submit_waiting(ended)
        workers = {worker.pid for worker in scene.workers() if worker.children()}
        scene.submit_waiting(lost)
        scene.daemon.kill()
        (other,) = (worker for worker in scene.workers() if worker.children() and worker.pid not in workers)
        other.kill()
        before = set(self._outcomes())
        scene.open(ended)
        eventually(lambda: set(self._outcomes()) - before, "the outcome of the run that ended is written")
        scene.let_pass(lost)

    def recover(self, *program: str) -> None:
        """Start a daemon under strace, and wait until it listens or has died."""
        reading, writing = os.pipe()
        with (self._scene.daemon.directory / "journal").open("ab") as journal:
            process = subprocess.Popen(
                [*program, BIN / "expd", "--ready-fd", str(writing)], env=self._scene.daemon.environ,
                stdin=subprocess.DEVNULL, stdout=journal, stderr=journal, pass_fds=[writing],
            )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading, "rb") as ready:
            ready.readline()
        self._scene.daemon.process = process

    def come_to_rest(self, name: str) -> None:
        """Both entries succeed; what was lost has run again by itself."""
        scene = self._scene
        assert [scene.outcome(f"{name}-{each}") for each in ("ended", "lost")] == ["succeeded", "succeeded"]
        scene.check()

    def points(self) -> list[Point]:
        """Count the points of a start, from the lock that says whose the state is; before it nothing is anybody's."""
        self.break_down("counted")
        self.recover("strace", *SPAWNING, "-o", str(self._trace), f"--trace={','.join(CALLS)}")
        self.come_to_rest("counted")
        self.end()
        return points_of(self._trace.read_text().splitlines(), from_call="flock", changes_only=True)

    def end(self) -> None:
        """End what the trace was of."""
        self._scene.daemon.run_expctl(self._scene.project, "daemon", "stop", "--now")
        self._scene.daemon.process.wait(DEADLINE_SECONDS)
        self._scene.daemon.restart()

    def try_at(self, name: str, point: Point) -> None:
        """Be killed at one point of the start, start once more, and look."""
        self.break_down(name)
        self.recover("strace", *SPAWNING, "-o", "/dev/null", *point.options)
        self.come_to_rest_after_death(name)

    def come_to_rest_after_death(self, name: str) -> None:
        """Start once more if it has died; a point behind the start is met while the entries run."""
        daemon = self._scene.daemon
        daemon.run_expctl(self._scene.project, "wait", "--timeout", str(DEADLINE_SECONDS // 2))
        if daemon.process.poll() is None and daemon.run_expctl(daemon.directory, "daemon", "status").returncode == 0:
            self.end()
        else:
            daemon.process.wait(DEADLINE_SECONDS)
            daemon.restart()
        self.come_to_rest(name)

    def _outcomes(self) -> list[Path]:
        return list((self._scene.daemon.state / "runs").glob("*.outcome"))


def _kill_starts(directory: Path, *, to_the_end: bool) -> None:
    with _a_scene(directory) as scene:
        start = Start(scene, directory / "trace")
        found = start.points()
        chosen = _every(found) if to_the_end else _sample(found)
        tried = 0
        for point in chosen:
            tried += 1
            print(f"{point.call} {point.number}")  # noqa: T201 - the last one is what failed
            start.try_at(f"s{tried}", point)
        print(f"{tried} of {len(found)} points of a start")  # noqa: T201 - how much was tried


def test_a_recovery_that_is_killed_is_recovered_from(tmp_path: Path) -> None:
    """Killed at points of its start drawn from a seed, a daemon leaves to the next one what it found, and nothing worse."""
    _kill_starts(tmp_path, to_the_end=False)


@pytest.mark.faults
def test_a_recovery_that_is_killed_anywhere_is_recovered_from(tmp_path: Path) -> None:
    """So it is from the first call to the last."""
    _kill_starts(tmp_path, to_the_end=True)
