"""Drained from the shell: nothing more starts, what runs ends, and the queue waits until somebody lets it go on."""

import json
from pathlib import Path

from helpers.daemons import DEADLINE_SECONDS, RunningDaemon
from helpers.waiting import eventually


def _waiting(gate: Path, end: str) -> tuple[str, ...]:
    """Give a command that waits for a file, and ends so."""
    return ("sh", "-c", f"while [ ! -e '{gate}' ]; do sleep 0.05; done; {end}")


def test_a_drained_queue_ends_what_runs_and_starts_nothing(daemon: RunningDaemon, repository: Path) -> None:
    """Also across the daemon's death, and where a run is to be tried again: that waits with the rest, until `resume`."""
    gate, tried = repository.parent / "gate", repository.parent / "tried"
    fails_once = _waiting(gate, f"[ -e '{tried}' ] || {{ touch '{tried}'; exit 1; }}")
    daemon.expctl(repository, "jobs", "2")
    daemon.expctl(repository, "submit", "-n", "runs", "--", *_waiting(gate, "true"))
    daemon.expctl(repository, "submit", "-n", "fails", "--retries", "1", "--backoff", "0", "--", *fails_once)
    daemon.expctl(repository, "submit", "-n", "next", "--", "true")
    eventually(lambda: _states(daemon, repository) == ["running", "running", "queued"], "two run")

    draining = daemon.start_expctl(repository, "drain", "--json")
    eventually(lambda: daemon.expctl_json(repository, "jobs")["paused"], "the queue is paused")
    daemon.kill()
    daemon.restart()
    held_back = _states(daemon, repository)
    gate.touch()
    answer, words = draining.communicate(timeout=DEADLINE_SECONDS)
    drained = _states(daemon, repository)
    daemon.expctl(repository, "resume")
    daemon.expctl(repository, "wait", "--all")

    pool = json.loads(answer)
    assert held_back == ["running", "running", "queued"]
    assert (pool["running"], pool["queued"], pool["paused"]) == (0, 2, True)
    assert (draining.returncode, words) == (0, b"")
    assert drained == ["done", "queued", "queued"]
    assert [entry["outcome"] for entry in daemon.entries(repository)] == ["succeeded"] * 3


def _states(daemon: RunningDaemon, repository: Path) -> list[object]:
    return [entry["state"] for entry in daemon.entries(repository)]
