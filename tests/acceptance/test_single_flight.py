"""A sweep computes what its points share once, however many run at once."""

from collections import Counter
from pathlib import Path

from helpers.daemons import RunningDaemon, a_daemon
from helpers.repositories import a_repository

PIPELINE = """\
stages:
  prepare:
    cmd: echo prepare >> "$TRACE" && cp raw.txt prepared.txt
    deps: [raw.txt]
    outs: [prepared.txt]
  features:
    cmd: echo features >> "$TRACE" && cp prepared.txt features.txt
    deps: [prepared.txt]
    params: [features]
    outs: [features.txt]
  train:
    cmd: echo train >> "$TRACE" && cat features.txt params.yaml > model.txt
    deps: [features.txt]
    params: [train]
    outs: [model.txt]
"""
PROJECT = {
    "dvc.yaml": PIPELINE,
    "params.yaml": "features: 1\ntrain:\n  lr: 0\n",
    "raw.txt": "raw\n",
    ".gitignore": "/prepared.txt\n/features.txt\n/model.txt\n",
}
_ROUNDS = 10
_ROUND_SECONDS = "50"


def test_sweep_over_the_last_stage_runs_the_others_once(tmp_path: Path) -> None:
    """Of 50 points over `train.lr`, with 8 workers, one computes `prepare` and `features`, and 50 compute `train`."""
    repository = a_repository(tmp_path / "project", PROJECT)
    with a_daemon(jobs=8) as daemon:
        daemon.environ["TRACE"] = str(tmp_path / "trace")
        daemon.expctl(repository, "submit", "-S", "train.lr=range(1,51)", "-n", "lr")

        assert _wait(daemon, repository) == 0

    assert Counter((tmp_path / "trace").read_text().split()) == {"prepare": 1, "features": 1, "train": 50}


def _wait(daemon: RunningDaemon, repository: Path) -> int:
    """Wait for all, on a slow machine in several goes; gives the exit code."""
    for _round in range(_ROUNDS):
        code = daemon.run_expctl(repository, "wait", "--timeout", _ROUND_SECONDS).returncode
        if code != 124:
            return code
    raise AssertionError("the sweep has not ended")
