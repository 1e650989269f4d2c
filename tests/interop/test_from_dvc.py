"""What the real DVC has queued runs from its stash commit, without its pickle."""

import os
import subprocess
from pathlib import Path

import pytest

from helpers.daemons import BIN, DEADLINE_SECONDS, RunningDaemon
from helpers.repositories import GIT_ENVIRONMENT, git, write_files

pytestmark = pytest.mark.interop


def _dvc(repository: Path, *words: str) -> None:
    environ = {**os.environ, **GIT_ENVIRONMENT, "DVC_NO_ANALYTICS": "1"}
    subprocess.run(
        [BIN / "dvc", *words], cwd=repository, env=environ, check=True, capture_output=True, timeout=DEADLINE_SECONDS
    )


def test_a_stash_commit_of_dvcs_queue_runs_without_its_pickle(daemon: RunningDaemon, repository: Path) -> None:
    """DVC's overrides are in the tree; `.dvc/tmp/repro.dat`, which only code of theirs could read, is in none of ours."""
    write_files(repository, {"train.sh": (repository / "train.sh").read_text() + "echo queued\n"})
    _dvc(repository, "exp", "run", "--queue", "-S", "train.lr=0.4", "-n", "theirs")
    assert "repro.dat" in git(repository, "ls-tree", "-r", "--name-only", "refs/exps/celery/stash")

    daemon.expctl(repository, "submit", "--from", "refs/exps/celery/stash", "-n", "ours")
    daemon.expctl(repository, "wait", "ours")

    (entry,) = daemon.entries(repository)
    assert git(repository, "show", f"{entry['experiment_rev']}:metrics.json") == '{"acc": 0.4}'
    assert "queued\n" in daemon.expctl(repository, "follow", "ours")
    for rev in (entry["stash_rev"], f"{entry['stash_rev']}^2", entry["experiment_rev"]):
        assert "repro.dat" not in git(repository, "ls-tree", "-r", "--name-only", str(rev))
