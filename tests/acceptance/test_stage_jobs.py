"""Stages of one run side by side, from the shell: they meet, and who reads from others still waits for them."""

import os
from pathlib import Path

from helpers.daemons import RunningDaemon
from helpers.repositories import a_repository, git

PIPELINE = """\
stages:
  prepare:
    cmd: cp raw.txt ready.txt
    deps: [raw.txt]
    outs: [ready.txt]
  give:
    cmd: echo given > "$MEETING/there" && cat "$MEETING/back" > gave.txt
    deps: [ready.txt]
    outs: [gave.txt]
  take:
    cmd: cat "$MEETING/there" > took.txt && echo taken > "$MEETING/back"
    deps: [ready.txt]
    outs: [took.txt]
  join:
    cmd: cat ready.txt gave.txt took.txt > joined.txt
    deps: [ready.txt, gave.txt, took.txt]
    outs: [joined.txt: {cache: false}]
"""
PROJECT = {
    "dvc.yaml": PIPELINE,
    "raw.txt": "raw\n",
    ".gitignore": "/ready.txt\n/gave.txt\n/took.txt\n",
}


def test_stages_that_need_nothing_of_each_other_overlap(daemon: RunningDaemon, tmp_path: Path) -> None:
    """Two stages that can only end together do end with --stage-jobs 2; what is before and behind them is in its place."""
    for pipe in ("there", "back"):  # whoever opens one waits for whoever opens its other end
        os.mkfifo(tmp_path / pipe)
    daemon.environ["MEETING"] = str(tmp_path)
    project = a_repository(tmp_path / "project", PROJECT)

    daemon.expctl(project, "submit", "-n", "met", "--stage-jobs", "2")
    daemon.expctl(project, "wait", "met", "--timeout", "60")

    (entry,) = daemon.entries(project, "met")
    rev = str(entry["experiment_rev"])
    assert git(project, "show", f"{rev}:joined.txt") == "raw\ntaken\ngiven"
    assert "    cmd: cp raw.txt ready.txt" in git(project, "show", f"{rev}:dvc.lock")


def test_by_default_stages_run_one_after_the_other(daemon: RunningDaemon, tmp_path: Path) -> None:
    """Without the option the first of two waits in vain for the second, which has not begun."""
    for pipe in ("there", "back"):
        os.mkfifo(tmp_path / pipe)
    daemon.environ["MEETING"] = str(tmp_path)
    project = a_repository(tmp_path / "project", PROJECT)

    daemon.expctl(project, "submit", "-n", "alone")
    given = (tmp_path / "there").read_text()
    (entry,) = daemon.entries(project, "alone")
    daemon.expctl(project, "cancel", "alone")
    daemon.run_expctl(project, "wait", "alone")

    assert given == "given\n"
    assert entry["stage"] == "give"
