"""Disks that are really full, worn out or read-only: requests are refused in words, and all goes on by itself afterwards."""

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from helpers.daemons import DEADLINE_SECONDS, Json, RunningDaemon, a_daemon
from helpers.disks import Disk, a_small_disk, an_ext4, needs_loop, needs_root
from helpers.repositories import a_repository, git
from helpers.waiting import eventually

UNWATCHED = "grace_seconds = 1.0\nstate_free_bytes_min = 0\nrun_free_bytes_min = 0\n"
"""Nothing is asked before a run starts, so that it is the writing itself that fails."""
WATCHED = "grace_seconds = 1.0\nstate_free_bytes_min = 1_000_000\nrun_free_bytes_min = 2_000_000\n"


def _refusal(ran: subprocess.CompletedProcess[bytes]) -> Json:
    error: Json = json.loads(ran.stdout)["error"]
    return error


def _trouble(daemon: RunningDaemon, cwd: Path) -> str | None:
    trouble = daemon.expctl_json(cwd, "status")["trouble"]
    assert trouble is None or isinstance(trouble, str)
    return trouble


def _states(daemon: RunningDaemon, repository: Path) -> dict[object, object]:
    return {entry["name"]: entry["state"] for entry in daemon.entries(repository)}


def _check_store(state: Path) -> None:
    with closing(sqlite3.connect(f"file:{state}/queue.db?mode=ro", uri=True)) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@needs_root
def test_a_full_disk_of_the_store_refuses_and_then_goes_on(tmp_path: Path) -> None:
    """What can't be stored is refused by code and sentence and leaves nothing; what was acknowledged is there and runs."""
    repository = a_repository(tmp_path / "project")
    with a_small_disk(tmp_path / "disk") as disk, a_daemon(config=UNWATCHED, state=disk.path / "state") as daemon:
        daemon.expctl(repository, "submit", "--hold", "-n", "before", "--", "true")
        held = git(repository, "for-each-ref", "refs/expd")
        disk.fill()

        refused = daemon.run_expctl(repository, "submit", "--json", "-n", "lost", "-m", "x" * 100_000, "--", "true")

        assert (refused.returncode, _refusal(refused)["code"]) == (1, "store_failed")
        assert "full" in str(_refusal(refused)["message"])
        assert _states(daemon, repository) == {"before": "held"}
        eventually(lambda: git(repository, "for-each-ref", "refs/expd") == held, "the refused submission's ref is gone")

        disk.make_room()
        eventually(lambda: _trouble(daemon, repository) is None, "the pool goes on")
        daemon.expctl(repository, "release", "before")
        daemon.expctl(repository, "submit", "-n", "after")
        daemon.expctl(repository, "wait", "before", "after")
        assert _states(daemon, repository) == {"before": "done", "after": "done"}
        daemon.stop()
        _check_store(daemon.state)


@needs_root
def test_a_disk_that_fills_up_while_entries_run_loses_none(tmp_path: Path) -> None:
    """Runs that end while the store can't be written are recorded when it can, each once, and none runs again."""
    repository = a_repository(tmp_path / "project")
    started, gate = tmp_path / "started", tmp_path / "gate"
    script = f"echo x >> {started}; while [ ! -e {gate} ]; do sleep 0.05; done"
    with (
        a_small_disk(tmp_path / "disk") as disk,
        a_daemon(jobs=2, config=UNWATCHED, state=disk.path / "state") as daemon,
    ):
        daemon.expctl(repository, "submit", "-n", "one", "--", "sh", "-c", script)
        daemon.expctl(repository, "submit", "-n", "two", "--", "sh", "-c", script)
        eventually(lambda: started.exists() and started.read_text() == "x\nx\n", "both run")
        disk.fill()
        gate.touch()

        eventually(lambda: _trouble(daemon, repository) is not None, "an end can't be written")
        states = set(_states(daemon, repository).values())
        disk.make_room()

        daemon.expctl(repository, "wait", "one", "two")
        assert states <= {"running", "collecting", "done"}
        assert [entry["outcome"] for entry in daemon.entries(repository)] == ["succeeded", "succeeded"]
        assert [entry["attempt"] for entry in daemon.entries(repository)] == [1, 1]
        assert started.read_text() == "x\nx\n"
        assert len(git(repository, "for-each-ref", "refs/exps").splitlines()) == 2


@needs_root
def test_a_full_disk_of_the_logs_ends_no_run(tmp_path: Path) -> None:
    """A command whose output finds no room goes on if it likes; its end waits for room, and log and result are there then."""
    repository = a_repository(tmp_path / "project")
    gate, state = tmp_path / "gate", tmp_path / "state"
    state.mkdir(mode=0o700)
    script = f"echo first; while [ ! -e {gate} ]; do echo {'x' * 4000} || true; sleep 0.02; done; echo made > made.txt"
    with a_small_disk(state / "runs") as disk, a_daemon(config=UNWATCHED, state=state) as daemon:
        daemon.expctl(repository, "submit", "-n", "one", "--", "sh", "-c", script)
        follower = daemon.start_expctl(repository, "follow", "one")
        eventually(lambda: any(path.stat().st_size for path in disk.path.glob("*.log")), "it writes")
        disk.fill()
        gate.touch()

        eventually(lambda: daemon.entries(repository)[0]["waits_for"], "its end waits for room, and says so")
        waiting = daemon.entries(repository)[0]
        disk.make_room()
        daemon.expctl(repository, "wait", "one")
        entry, (said, _err) = daemon.entries(repository)[0], follower.communicate(timeout=DEADLINE_SECONDS)

        assert (waiting["state"] in {"running", "collecting"}, entry["outcome"], entry["attempt"]) == (
            True,
            "succeeded",
            1,
        )
        assert git(repository, "show", f"{entry['experiment_rev']}:made.txt") == "made"
        assert said.startswith(b"first\n")


@pytest.mark.parametrize("full", [pytest.param(Disk.fill, id="bytes"), pytest.param(Disk.fill_names, id="names")])
@needs_loop
def test_nothing_is_started_where_there_is_no_room(tmp_path: Path, full: Callable[[Disk], None]) -> None:
    """Bytes or names: entries wait, the reason is in status and journal, no run has begun; with room they run."""
    repository = a_repository(tmp_path / "project")
    with an_ext4(tmp_path / "disk") as disk, a_daemon(config=WATCHED, state=disk.path / "state") as daemon:
        daemon.expctl(repository, "submit", "--hold", "-n", "one")
        full(disk)

        daemon.run_expctl(repository, "release", "one")
        eventually(lambda: _trouble(daemon, repository) is not None, "the pool says why it starts nothing")
        trouble, entry = _trouble(daemon, repository), daemon.entries(repository)[0]
        disk.make_room()
        if entry["state"] == "held":  # where not a byte is left, the release itself was refused
            eventually(lambda: daemon.run_expctl(repository, "release", "one").returncode == 0, "it is released")
        daemon.expctl(repository, "wait", "one")

        assert trouble is not None
        assert trouble in daemon.journal()
        assert entry["state"] == "held" or entry["waits_for"] == trouble
        assert [run["attempt"] for run in daemon.entries(repository)] == [1]
        assert _trouble(daemon, repository) is None


@needs_root
def test_a_full_disk_of_one_repository_holds_up_no_other(tmp_path: Path) -> None:
    """Its entry waits and says for what, those of another repository run, and it runs when there is room."""
    elsewhere = a_repository(tmp_path / "elsewhere")
    with a_small_disk(tmp_path / "disk", "16m") as disk, a_daemon(config=WATCHED) as daemon:
        repository = a_repository(disk.path / "project")
        daemon.expctl(repository, "pause")
        daemon.expctl(repository, "submit", "-n", "waits")
        daemon.expctl(elsewhere, "submit", "-n", "runs")
        disk.fill()

        daemon.expctl(repository, "resume")
        daemon.expctl(elsewhere, "wait", "runs")
        waiting = daemon.entries(repository, "waits")[0]
        trouble = _trouble(daemon, repository)
        disk.make_room()
        daemon.expctl(repository, "wait", "waits")

        assert waiting["state"] == "queued"
        assert "run_free_bytes_min" in str(waiting["waits_for"])
        assert trouble is None
        assert daemon.entries(repository, "waits")[0]["outcome"] == "succeeded"


@needs_loop
def test_a_store_on_a_broken_file_system_is_still_told(tmp_path: Path) -> None:
    """Where nothing can be written any more, status works, submissions are refused, and the daemon neither ends nor spins."""
    repository = a_repository(tmp_path / "project")
    with an_ext4(tmp_path / "disk") as disk, a_daemon(config=WATCHED, state=disk.path / "state") as daemon:
        daemon.expctl(repository, "submit", "--hold", "-n", "before", "--", "true")
        disk.break_down()

        refused = daemon.run_expctl(repository, "submit", "--json", "-n", "lost", "--", "true")
        states, trouble = _states(daemon, repository), _trouble(daemon, repository)

        assert _refusal(refused)["code"] == "store_failed"
        assert states == {"before": "held"}
        assert trouble is not None
        assert daemon.process.poll() is None
