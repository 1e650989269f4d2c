"""Client and daemon are killed at random moments of a capture, again and again: nobody's files ever know of it.

The moments are drawn from a seed that is printed; EXPD_FAULT_SEED repeats a draw. `make test` kills for some seconds, `make
faults` 200 times.
"""

import hashlib
import math
import os
import random
import secrets
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from helpers.daemons import BIN, DEADLINE_SECONDS, RunningDaemon, a_daemon
from helpers.repositories import a_repository, everything_of, git, write_files
from helpers.seeds import a_seed

pytestmark = pytest.mark.load

FILES, EDITED = 10_000, 200
KILLS, SECONDS, KILLS_MIN = 200, 6, 3
"""A kill costs a third of a second, and several where others keep the machine busy: then there are fewer of them."""
CHANGED_A_ROUND = 10
"""Files that have a new content in each round, so that each one has objects to write."""

Stamps = dict[str, tuple[int, int, int, int, int]]


def _a_dirty_project(path: Path) -> Path:
    """Make a repository of ten thousand files with edits, additions, deletions, and something staged."""
    project = a_repository(path, {})
    git(project, "config", "gc.auto", "0")  # a collection in the background would change things under us
    write_files(project, {f"d{number % 100}/f{number}": f"{number}\n" for number in range(FILES)})
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "many")
    git(project, "repack", "-a", "-d", "--quiet")
    write_files(project, {f"d{number % 100}/f{number}": "edited\n" for number in range(EDITED)})
    write_files(project, {f"new/{number}": f"new {number}\n" for number in range(50)})
    for number in range(FILES - 50, FILES):
        (project / f"d{number % 100}/f{number}").unlink()
    write_files(project, {"d1/f1": "staged\n"})
    git(project, "add", "d1/f1")
    return project


def _stamps_of(project: Path) -> Stamps:
    """Look at everything that capture must not touch; nobody can write a file and have its ctime stay."""
    stamps = {}
    for directory, subdirectories, names in os.walk(project):
        relative = Path(directory).relative_to(project).as_posix()
        if relative == ".git":
            subdirectories[:] = [name for name in subdirectories if name not in {"objects", "expd"}]
        if relative == ".git/refs":
            subdirectories[:] = [name for name in subdirectories if name != "expd"]
        for name in names:
            stamps[f"{relative}/{name}"] = _stamp_of(f"{directory}/{name}")
    return stamps


def _stamp_of(path: str) -> tuple[int, int, int, int, int]:
    status = os.lstat(path)
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _locks_in(project: Path) -> list[str]:
    looked_at = (project / ".git" / name for name in ("refs", "expd", "logs"))
    return [str(path) for place in (project / ".git",) for path in place.glob("*.lock")] + [
        str(path) for place in looked_at for path in place.rglob("*.lock")
    ]


def _blob(text: str) -> str:
    data = text.encode()
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()


class Rounds:
    """One repository, one set of surroundings, a kill after the other."""

    def __init__(self, daemon: RunningDaemon, project: Path, chance: random.Random) -> None:
        self.daemon = daemon
        self.project = project
        self.acknowledged: set[str] = set()
        self.contents: dict[str, dict[str, str]] = {}
        self.before = _stamps_of(project)
        self._chance = chance
        self._capture_seconds = 1.0

    def measure(self) -> None:
        """Submit twice undisturbed: the second one has as much to do as those that follow, and kills come within its time."""
        for name in ("first", "second"):
            started = time.monotonic()
            assert self._submit(name).wait(DEADLINE_SECONDS) == 0, self.daemon.journal()
            self._capture_seconds = 1.2 * (time.monotonic() - started)
            self.acknowledged.add(name)

    def kill(self, name: str) -> int:
        """Begin a submission, and kill client and daemon, each at a moment of its own; gives how many were alive."""
        client, started = self._submit(name), time.monotonic()
        moments = sorted((self._chance.random() * self._capture_seconds, victim) for victim in ("client", "daemon"))
        killed = 1
        for moment, victim in moments:
            threading.Event().wait(max(0.0, started + moment - time.monotonic()))  # the moment is what is tried
            if victim == "daemon":
                self.daemon.kill()
            elif client.poll() is None:
                client.send_signal(signal.SIGKILL)
                killed += 1
        if client.wait(DEADLINE_SECONDS) == 0:
            self.acknowledged.add(name)
        self._capture_seconds *= 0.8 if name in self.acknowledged else 1.1  # however busy the machine is now
        return killed

    def _submit(self, name: str) -> subprocess.Popen[bytes]:
        texts = {f"d{index}/f{index}": f"{name} {secrets.token_hex(4)}\n" for index in range(2, 2 + CHANGED_A_ROUND)}
        write_files(self.project, texts)
        self.contents[name] = texts
        self.before |= {name: _stamp_of(f"{self.project}/{name}") for name in texts}
        return subprocess.Popen(
            [BIN / "expctl", "submit", "-n", name, "--", "true"],
            cwd=self.project,
            env=self.daemon.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _listing(project: Path, rev: str) -> dict[str, str]:
    lines = git(project, "ls-tree", "-r", rev).splitlines()
    return {line.split("\t")[1]: line.split()[2] for line in lines}


def _kill_again_and_again(directory: Path, kills_max: int, seconds: float) -> None:
    chance = random.Random(a_seed())
    project = _a_dirty_project(directory / "project")
    with a_daemon() as daemon:
        daemon.expctl(project, "pause")
        rounds = Rounds(daemon, project, chance)
        rounds.measure()
        base = _listing(project, str(daemon.entries(project)[0]["stash_rev"]))
        kills, started = 0, time.monotonic()
        while kills < kills_max and (kills < KILLS_MIN or time.monotonic() < started + seconds):
            name = f"after-{kills}"
            kills += rounds.kill(name)
            assert _stamps_of(project) == rounds.before, name
            assert _locks_in(project) == [], name
            daemon.restart()
        entries = {str(entry["name"]): entry for entry in daemon.entries(project)}
        before = everything_of(project)
        daemon.expctl(project, "submit", "-n", "last", "--", "true")

        assert everything_of(project) == before
    print(f"{kills} kills; {len(entries)} of {len(rounds.contents)} submissions were accepted")  # noqa: T201
    assert rounds.acknowledged <= entries.keys()
    git(project, "fsck", "--full", "--strict", "--no-dangling")
    for name, entry in entries.items():
        expected = base | {path: _blob(text) for path, text in rounds.contents[name].items()}
        assert _listing(project, str(entry["stash_rev"])) == expected, name


def test_captures_that_are_killed_leave_everything_as_it_was(tmp_path: Path) -> None:
    """After each kill workspace and `.git` are untouched, no lock stays, and every submission is whole or absent."""
    _kill_again_and_again(tmp_path, KILLS, SECONDS)


@pytest.mark.faults
def test_two_hundred_kills_of_captures_leave_everything_as_it_was(tmp_path: Path) -> None:
    """So it is after 200 kills."""
    _kill_again_and_again(tmp_path, KILLS, math.inf)
