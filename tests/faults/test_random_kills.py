"""Daemon, workers and commands are killed at random moments, again and again, while clients submit, follow, cancel and retry.

The moments come from a seed that is printed; EXPD_FAULT_SEED repeats one. `make test` kills for some seconds, `make faults`
200 times.
"""

import contextlib
import random
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from expd.linux.processes import identity_of
from helpers.daemons import BIN, RunningDaemon, a_daemon
from helpers.guards import Guards
from helpers.invariants import check_all
from helpers.repositories import a_repository
from helpers.seeds import a_seed
from helpers.waiting import eventually

KILLS, SECONDS, KILLS_MIN = 200, 6, 4
BETWEEN_SECONDS_MAX = 0.6
SCRIPT = "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); sleep 0.02; done"
VICTIMS = ("daemon", "worker", "command", "all")


class Crowd:
    """Clients that submit, follow, cancel and retry until told to stop, and what they were told."""

    def __init__(self, daemon: RunningDaemon, project: Path, guards: Guards, chance: random.Random) -> None:
        self.acknowledged: list[str] = []
        self.followers: dict[str, subprocess.Popen[bytes]] = {}
        self._daemon = daemon
        self._project = project
        self._guards = guards
        self._chance = chance
        self._over = threading.Event()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Work for as long as the block."""
        threads = [threading.Thread(target=self._submit_on), threading.Thread(target=self._disturb)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _submit_on(self) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            name = f"n{number}"
            script = self._guards.script(name, SCRIPT)
            if self._ask("submit", "-n", name, "--", "sh", "-c", script):
                self.acknowledged.append(name)
                if number % 3 == 0:
                    self._follow(name)

    def _disturb(self) -> None:
        while not self._over.wait(self._chance.uniform(0.1, 1)):
            if self.acknowledged and self._chance.random() < 0.5:
                self._ask("cancel", self._chance.choice(self.acknowledged))
            else:
                self._ask("retry", "--failed")

    def _ask(self, *arguments: str) -> bool:
        return self._daemon.run_expctl(self._project, *arguments).returncode == 0

    def _follow(self, name: str) -> None:
        with (self._daemon.directory / f"{name}.out").open("wb") as out:
            self.followers[name] = subprocess.Popen(
                [BIN / "expctl", "follow", "--raw", f"{name}@1"], cwd=self._project, env=self._daemon.environ,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL,
            )  # fmt: skip


def _workers(daemon: RunningDaemon) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "expd.execute" in command and str(daemon.socket) in command:
            found.append(process)
    return found


def _kill_one(daemon: RunningDaemon, victim: str, chance: random.Random) -> bool:
    """Kill somebody; whether there was anybody to be killed."""
    workers = _workers(daemon)
    chosen = workers
    with contextlib.suppress(psutil.NoSuchProcess):
        if victim == "worker":
            chosen = [chance.choice(workers)] if workers else []
        elif victim == "command":
            below = [child for worker in workers for child in worker.children(recursive=True)]
            chosen = [chance.choice(below)] if below else []
        elif victim == "daemon":
            chosen = []
    if victim in {"daemon", "all"}:
        daemon.kill()
    for process in chosen:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return bool(chosen) or victim in {"daemon", "all"}


def _shows_only_what_lives(daemon: RunningDaemon) -> bool:
    """Tell whether each run that has not ended has its worker, or an outcome that is being settled."""
    connection = sqlite3.connect(f"{(daemon.state / 'queue.db').as_uri()}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT pid, start_ticks, record FROM runs WHERE ended_at IS NULL").fetchall()
    finally:
        connection.close()
    living = [identity_of(pid) for pid, _ticks, _record in rows]
    return all(
        (who is not None and who.start_ticks == ticks) or Path(record).exists()
        for who, (_pid, ticks, record) in zip(living, rows, strict=True)
    )


def _first_logs(daemon: RunningDaemon) -> dict[str, Path]:
    connection = sqlite3.connect(f"{(daemon.state / 'queue.db').as_uri()}?mode=ro", uri=True)
    try:
        sql = "SELECT entries.name, runs.log FROM runs JOIN entries ON entries.id = runs.entry WHERE runs.attempt = 1"
        return {name: Path(log) for name, log in connection.execute(sql)}
    finally:
        connection.close()


def _check_followed(daemon: RunningDaemon, crowd: Crowd) -> int:
    """What was followed is what is in the log, from its first byte without gap or repeat; gives how many saw all of it."""
    logs, whole = _first_logs(daemon), 0
    for name, follower in crowd.followers.items():
        with contextlib.suppress(subprocess.TimeoutExpired):
            follower.wait(5)
        follower.kill()
        follower.wait()
        seen = (daemon.directory / f"{name}.out").read_bytes()
        written = logs[name].read_bytes() if name in logs and logs[name].exists() else b""
        assert written.startswith(seen), f"{name}: {seen!r} was seen of {written!r}"
        whole += seen == written
    return whole


def _kill_again_and_again(directory: Path, kills: int, seconds: float) -> None:
    chance, met = random.Random(a_seed()), Counter[str]()
    guards, slowest = Guards(directory / "guards"), 0.0
    with a_daemon(jobs=3, config="grace_seconds = 0.5\n") as daemon:
        project = a_repository(directory / "project")
        crowd = Crowd(daemon, project, guards, random.Random(chance.random()))
        between_seconds = max(BETWEEN_SECONDS_MAX, _seconds_of_one(daemon, project))
        deadline = time.monotonic() + seconds
        with crowd.working():
            while met.total() < kills and (met.total() < KILLS_MIN or time.monotonic() < deadline):
                threading.Event().wait(chance.uniform(0, between_seconds))  # the moment is what is tried
                victim = chance.choice(VICTIMS)
                met[victim] += _kill_one(daemon, victim, chance)
                if victim in {"daemon", "all"}:
                    started = time.monotonic()
                    daemon.restart()
                    eventually(lambda: _shows_only_what_lives(daemon), "each state is the truth")
                    slowest = max(slowest, time.monotonic() - started)
                guards.check()
        _wait_for_the_end(daemon, project)
        check_all(daemon, project, crowd.acknowledged)
        whole = _check_followed(daemon, crowd)
        outcomes = Counter(str(entry["outcome"]) for entry in daemon.entries(project))
    guards.check()
    print(f"{dict(met)} killed; {len(crowd.acknowledged)} acknowledged, {guards.runs} runs: {dict(outcomes)}")  # noqa: T201
    seen = f"{whole} of {len(crowd.followers)} logs followed to the end"
    print(f"{seen}; right {slowest:.2f} s after the slowest start began")  # noqa: T201
    assert outcomes["succeeded"] >= 1


def _seconds_of_one(daemon: RunningDaemon, project: Path) -> float:
    """Run one undisturbed: on a busy machine kills have to leave that much time, or they meet nothing but starts."""
    started = time.monotonic()
    daemon.expctl(project, "submit", "-n", "undisturbed", "--", "sh", "-c", SCRIPT)
    daemon.expctl(project, "wait")
    return time.monotonic() - started


def _wait_for_the_end(daemon: RunningDaemon, project: Path) -> None:
    """Wait for as long as it goes on: clients that met no limit have left hundreds of entries."""
    left = len(_unfinished(daemon, project))
    while left:
        is_fewer = partial(_is_fewer_than, daemon, project, left)
        eventually(is_fewer, f"of {left} that are left some come to their end")
        left = len(_unfinished(daemon, project))


def _is_fewer_than(daemon: RunningDaemon, project: Path, number: int) -> bool:
    daemon.run_expctl(project, "wait", "--timeout", "5")
    return len(_unfinished(daemon, project)) < number


def _unfinished(daemon: RunningDaemon, project: Path) -> list[object]:
    return [entry["id"] for entry in daemon.entries(project) if entry["state"] not in {"done", "held"}]


def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    """Nothing acknowledged is lost, nothing runs twice at once, logs have no gap, and every state becomes the truth."""
    _kill_again_and_again(tmp_path, KILLS, SECONDS)


@pytest.mark.faults
def test_two_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    """So it is after 200 kills."""
    _kill_again_and_again(tmp_path, KILLS, float("inf"))
