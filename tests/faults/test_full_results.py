"""A run that finds its repository's disk full keeps what it has computed, says what it waits for, and goes on when there is room."""

from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon, a_daemon
from helpers.disks import Disk, a_small_disk, needs_root
from helpers.repositories import a_repository, git
from helpers.waiting import eventually

UNWATCHED = "grace_seconds = 1.0\nrun_free_bytes_min = 0\n"
FULL = "No space left on device"
PIPELINE = "stages:\n  make:\n    cmd: sh make.sh\n    deps: [make.sh]\n    outs: [out.bin]\n"
COPIES = "[cache]\n    type = copy\n"
SUBMISSIONS = {
    "a command, whose result is a commit": (["--", "sh", "make.sh"], "collecting"),
    "a stage, whose output goes to the cache": ([], "running"),
}


def _script(begun: Path, ballast: Path) -> str:
    """Make a file of 200 kB that can't be compressed, and then fill the disk on which it is."""
    return (
        f"echo x >> '{begun}'\nhead -c 200000 /dev/urandom > out.bin\n"
        f"cat /dev/zero > '{ballast}' 2> /dev/null\necho made\n"
    )


def _project(disk: Disk, begun: Path) -> Path:
    files = {
        "dvc.yaml": PIPELINE,
        "make.sh": _script(begun, disk.path / "ballast"),
        ".gitignore": "/out.bin\n",
        ".dvc/config": COPIES,
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    }
    return a_repository(disk.path / "project", files)


def _obstacle(daemon: RunningDaemon, repository: Path) -> str:
    return str(daemon.entries(repository)[0]["waits_for"])


@needs_root
@pytest.mark.parametrize("kind", SUBMISSIONS)
def test_what_was_computed_is_kept_until_there_is_room(tmp_path: Path, kind: str) -> None:
    """Its commands have run once; the entry shows what it waits for; with room its result is there, nothing run again."""
    arguments, state = SUBMISSIONS[kind]
    begun = tmp_path / "begun"
    with a_small_disk(tmp_path / "disk", "8m") as disk, a_daemon(config=UNWATCHED) as daemon:
        repository = _project(disk, begun)
        if arguments:
            (repository / ".gitignore").write_text("")
        daemon.expctl(repository, "submit", "-n", "big", *arguments)

        eventually(lambda: FULL in _obstacle(daemon, repository), "the entry says what it waits for")
        waiting = daemon.entries(repository)[0]
        disk.make_room()
        daemon.expctl(repository, "wait", "big")

        entry = daemon.entries(repository)[0]
        assert waiting["state"] == state
        assert (entry["outcome"], entry["attempt"], entry["waits_for"]) == ("succeeded", 1, None)
        assert begun.read_text() == "x\n"
        assert git(repository, "for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps") == "big"
        daemon.expctl(repository, "get", "big", "out.bin", "-o", str(tmp_path / "got"))
        assert (tmp_path / "got" / "out.bin").stat().st_size == 200_000
        assert FULL in daemon.journal()


@needs_root
def test_a_run_that_finds_no_room_for_its_worktree_waits(tmp_path: Path) -> None:
    """Nothing of it has begun; cancelled, it ends at once; another goes on when there is room."""
    begun = tmp_path / "begun"
    with a_small_disk(tmp_path / "disk", "8m") as disk, a_daemon(config=UNWATCHED) as daemon:
        repository = a_repository(disk.path / "project", {"data": "x" * 500_000})
        daemon.expctl(repository, "pause")
        for name in ("first", "second"):
            daemon.expctl(repository, "submit", "-n", name, "--", "sh", "-c", f"echo {name} >> '{begun}'")
        disk.fill()
        daemon.expctl(repository, "resume")

        eventually(lambda: FULL in _obstacle(daemon, repository), "the entry says what it waits for")
        state = daemon.entries(repository, "first")[0]["state"]
        daemon.expctl(repository, "cancel", "first")
        daemon.run_expctl(repository, "wait", "first")
        disk.make_room()
        daemon.expctl(repository, "wait", "second")

        assert state == "preparing"
        assert begun.read_text() == "second\n"
        outcomes = [entry["outcome"] for entry in daemon.entries(repository)]
        assert outcomes == ["cancelled", "succeeded"]
