"""Killed at any moment, a run leaves no false object, no lock and nothing that makes the next run wrong.

The moments are random, and the seed is printed; EXPD_FAULT_SEED repeats one. `make test` goes on until runs were hit, `make
faults` for 100 rounds. That each single change on the disk may be the last is
shown by tests/daemon/pipeline/test_crash.py.
"""

import hashlib
import random
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from expd.pipeline.lockfile import parse_lock
from helpers.daemons import DEADLINE_SECONDS, RunningDaemon, a_daemon
from helpers.repositories import a_repository, git
from helpers.seeds import a_seed

ROUNDS, HITS = 12, 2
"""At most so many rounds, and no more once so many kills have hit a run."""
MANY_ROUNDS = 100
BIG_BYTES = 24_000_000
"""Hashing and storing it takes longer than starting the commands."""
FILES = 200
SCRIPT = f"""\
seed=$(sed -n 's/^seed: //p' params.yaml)
yes "$seed" | head -c {BIG_BYTES} > big.bin
mkdir -p many && i=0
while [ $i -lt {FILES} ]; do echo "$seed $i" > many/$i; i=$((i+1)); done
"""
PIPELINE = """\
stages:
  make:
    cmd: sh make.sh
    deps: [make.sh]
    params: [seed]
    outs: [big.bin, many]
  use:
    cmd: wc -c big.bin many/* | tail -1 > size.txt
    deps: [big.bin, many]
    outs: [size.txt]
"""


@dataclass
class Scene:
    """A project with its cache, and what of the cache was found to be right before."""

    project: Path
    daemon: RunningDaemon
    known: dict[str, int] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        """The cache of a repository without DVC."""
        return self.project / ".git" / "expd" / "cache"

    def objects(self) -> list[Path]:
        """Every object of the cache that a reader would take for one."""
        files = (self.cache / "files").rglob("*")
        return [file for file in files if file.is_file() and not file.name.endswith(".tmp")]

    def check_cache(self) -> None:
        """Each object is read-only and what its name says; each is read once."""
        for file in self.objects():
            status = file.stat()
            assert stat.S_IMODE(status.st_mode) == 0o444, file
            if self.known.get(str(file)) == status.st_ino:
                continue
            content = hashlib.md5(file.read_bytes()).hexdigest()
            assert content == file.parent.name + file.name.removesuffix(".dir"), file
            self.known[str(file)] = status.st_ino

    def check_no_lock(self) -> None:
        """Nobody is kept out by what a dead process held."""
        locks = [path for path in (self.project / ".git").rglob("*.lock") if path.name != "dvc.lock"]
        assert locks == []

    def submit(self, name: str, seed: int) -> str:
        """Queue one experiment, and give its id."""
        return self.daemon.expctl(
            self.project, "submit", "-q", "-n", name, "-S", f"seed={seed}", "--retry-on", "none"
        ).strip()

    def run(self, name: str, seed: int) -> None:
        """Run one experiment to its end, which must be the right one."""
        entry = self.submit(name, seed)
        self.daemon.expctl(self.project, "wait", "--timeout", str(DEADLINE_SECONDS), entry)
        rev = str(self.daemon.entries(self.project, entry)[0]["experiment_rev"])
        recorded = parse_lock(git(self.project, "show", f"{rev}:dvc.lock") + "\n", "dvc.lock")
        big = (f"{seed}\n" * (BIG_BYTES // len(f"{seed}\n") + 1))[:BIG_BYTES].encode()
        assert recorded["make"].outs["big.bin"].md5 == hashlib.md5(big).hexdigest()
        assert recorded["make"].outs["many"].nfiles == FILES
        assert recorded["use"].deps == {path: recorded["make"].outs[path] for path in ("big.bin", "many")}

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Find the daemon, its workers, and what the workers run."""
        wanted = {"expd.execute", str(self.daemon.socket)}
        workers = [process for process in psutil.process_iter() if wanted <= set(_command(process))]
        below = [child for worker in workers for child in _children(worker)]
        return {"worker": workers, "stage": below, "all": [psutil.Process(self.daemon.process.pid), *workers, *below]}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def _moments(scene: Scene, run_seconds: float, rng: random.Random) -> dict[str, Callable[[], object]]:
    """Conditions that come true at some moment of the next run."""
    chosen = time.monotonic() + rng.uniform(0, 0.7 * run_seconds)
    began, runs = time.time(), _count(scene.cache / "runs")
    locks = scene.project / ".git" / "expd" / "worktrees"
    return {
        "some time has passed": lambda: time.monotonic() > chosen,
        "an object is being stored": lambda: any((scene.cache / "files").rglob("*.tmp")),
        "the run cache is being written": lambda: _count(scene.cache / "runs") > runs,
        "dvc.lock is being written": lambda: any(_modified(file) > began for file in locks.glob("*/*dvc.lock*")),
    }


def _count(directory: Path) -> int:
    return sum(1 for _ in directory.rglob("*"))


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0


def _reach(moment: Callable[[], object], limit_seconds: float, rng: random.Random) -> None:
    """Look as often as can be until the moment has come, for as long as a run may take; then go on for up to 20 ms."""
    deadline = time.monotonic() + limit_seconds
    while not moment() and time.monotonic() < deadline:
        continue
    threading.Event().wait(rng.choice((0, rng.uniform(0, 0.02))))


def _kill_again_and_again(directory: Path, rounds_max: int, hits_max: int) -> None:
    rng, met = random.Random(a_seed()), Counter[str]()
    files = {"dvc.yaml": PIPELINE, "make.sh": SCRIPT, "params.yaml": "seed: 0\n", ".gitignore": "/big.bin\n/many\n"}
    with a_daemon() as daemon:
        scene = Scene(a_repository(directory / "project", files), daemon)
        began = time.monotonic()
        scene.run("first", 1)
        run_seconds, rounds = time.monotonic() - began, 0
        while rounds < rounds_max and met.total() - met["succeeded"] < hits_max:
            rounds += 1
            victim = rng.choice(("worker", "stage", "all"))
            moments = _moments(scene, run_seconds, rng)
            # Where something is recorded, no command of the stage is left to be killed.
            name = rng.choice(list(moments)) if victim != "stage" else "some time has passed"
            entry = scene.submit(f"victim{rounds}", rounds + 100)
            _reach(moments[name], 2 * run_seconds, rng)
            _kill(scene.processes()[victim])
            if victim == "all":
                daemon.process.wait(DEADLINE_SECONDS)
                daemon.restart()
            daemon.run_expctl(scene.project, "wait", "--timeout", str(DEADLINE_SECONDS), entry)
            outcome = str(daemon.entries(scene.project, entry)[0]["outcome"])
            met[outcome] += 1
            print(f"round {rounds}: {victim} killed when {name}: {outcome}")  # noqa: T201 - as above
            scene.check_cache()
            scene.run(f"again{rounds}", rounds + 100)
            scene.check_cache()
            scene.check_no_lock()
    assert met.total() > met["succeeded"], "no kill has hit a run"


def test_a_kill_at_a_random_moment_leaves_nothing_false(tmp_path: Path) -> None:
    """Worker, stage or all of them die in the middle; every object stays true, and the same experiment then succeeds."""
    _kill_again_and_again(tmp_path, ROUNDS, HITS)


@pytest.mark.faults
def test_a_hundred_kills_leave_nothing_false(tmp_path: Path) -> None:
    """So it is after a hundred kills."""
    _kill_again_and_again(tmp_path, MANY_ROUNDS, MANY_ROUNDS)
