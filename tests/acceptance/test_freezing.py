"""`expctl pause --freeze`: what runs stands still, whoever asks and whichever daemon is there, until `expctl resume`."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from helpers.daemons import RunningDaemon, a_daemon
from helpers.repositories import a_repository
from helpers.waiting import eventually


@pytest.fixture
def daemon() -> Iterator[RunningDaemon]:
    """Give a daemon with two slots."""
    with a_daemon(jobs=2) as daemon:
        yield daemon


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a repository."""
    return a_repository(tmp_path / "project")


def _states(pids: list[Path]) -> set[str]:
    return {psutil.Process(int(pid.read_text())).status() for pid in pids}


def test_what_runs_is_frozen_across_daemons(daemon: RunningDaemon, project: Path) -> None:
    """Frozen, it is shown so and does nothing, also under the next daemon; one is cancelled so, the other goes on and ends well."""
    gate, pids = project.parent / "gate", [project.parent / f"pid{number}" for number in (1, 2)]
    for number, pid in enumerate(pids, 1):
        script = f"echo $$ > '{pid}.new'; mv '{pid}.new' '{pid}'; while [ ! -e '{gate}' ]; do :; done"
        daemon.expctl(project, "submit", "-n", f"run{number}", "--", "sh", "-c", script)
    eventually(lambda: all(pid.exists() for pid in pids), "both run")
    pool = daemon.expctl_json(project, "pause", "--freeze")
    eventually(lambda: _states(pids) == {psutil.STATUS_STOPPED}, "both are stopped")
    gate.touch()
    daemon.kill()
    daemon.restart()
    shown = {entry["name"]: (entry["state"], entry["waits_for"]) for entry in daemon.entries(project)}
    still = _states(pids)
    daemon.expctl(project, "cancel", "run1")
    daemon.run_expctl(project, "wait", "run1")
    again = daemon.expctl_json(project, "resume")
    daemon.expctl(project, "wait", "run2")
    outcomes = {str(entry["name"]): entry["outcome"] for entry in daemon.entries(project)}

    assert (pool["paused"], pool["frozen"], again["frozen"]) == (True, 2, 0)
    assert shown == dict.fromkeys(("run1", "run2"), ("running", "it is frozen: expctl resume"))
    assert still == {psutil.STATUS_STOPPED}
    assert outcomes == {"run1": "cancelled", "run2": "succeeded"}
