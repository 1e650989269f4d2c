"""How far a run is, from the shell: stages, DVCLive's step and metrics while it runs, and what is left of them."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from helpers.daemons import Json, RunningDaemon, rows
from helpers.repositories import a_repository
from helpers.waiting import eventually

_PIPELINE = """\
stages:
  prepare:
    cmd: echo ready > ready.txt
    outs: [ready.txt]
  train:
    cmd: sh train.sh
    deps: [ready.txt, train.sh]
    params: [end]
    outs: [model.bin]
  report:
    cmd: cat model.bin > report.txt
    deps: [model.bin]
    outs: [report.txt]
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Give a pipe that holds a training."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


@pytest.fixture
def project(tmp_path: Path, gate: Path) -> Path:
    """Give a project whose second of three stages writes as DVCLive does, says so at the gate, and waits there."""
    train = f"""\
mkdir -p dvclive
echo '{{"loss": 0.5, "acc": {{"top1": 0.25}}, "step": 7}}' > dvclive/new && mv dvclive/new dvclive/metrics.json
echo started > '{gate}'
cat '{gate}'
echo weights > model.bin
exit $(sed -n 's/^end: //p' params.yaml)
"""
    files = {
        "dvc.yaml": _PIPELINE,
        "params.yaml": "end: 0\n",
        "train.sh": train,
        ".gitignore": "/ready.txt\n/model.bin\n/report.txt\n",
        ".dvc/config": "",
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    }
    return a_repository(tmp_path / "trained", files)


def _entry(daemon: RunningDaemon, project: Path, name: str) -> Json:
    (entry,) = daemon.entries(project, name)
    return entry


def _progress(daemon: RunningDaemon, project: Path, name: str) -> Json:
    progress = _entry(daemon, project, name)["progress"]
    return progress if isinstance(progress, dict) else {}


def _hold(daemon: RunningDaemon, project: Path, name: str, gate: Path, step: int = 7) -> Json:
    """Wait until a run stands at its gate and the daemon knows its step; give its progress."""
    gate.read_text()
    eventually(lambda: _progress(daemon, project, name).get("step") == step, f"step {step} is told")
    return _progress(daemon, project, name)


def test_status_tells_stage_step_and_metrics_while_a_run_goes_on(
    daemon: RunningDaemon, project: Path, gate: Path
) -> None:
    """The second of three stages is told as such, with DVCLive's step and metrics, in the table and to programs."""
    daemon.expctl(project, "submit", "-n", "one")
    running = _hold(daemon, project, "one", gate)
    shown = daemon.expctl(project, "show", "one")
    partial = rows(daemon.expctl_json(project, "show"), "experiments")
    gate.write_text("go on\n")
    daemon.expctl(project, "wait", "one")
    done = _progress(daemon, project, "one")
    results = rows(daemon.expctl_json(project, "show"), "experiments")

    assert (running["begun"], running["total"], running["step"]) == (2, 3, 7)
    assert running["metrics"] == {"loss": 0.5, "acc.top1": 0.25}
    (stage,) = running["stages"] if isinstance(running["stages"], list) else []
    assert (stage["name"], stage["estimate_seconds"]) == ("train", None)
    assert "progress\tstages\t2 of 3\n" in shown
    assert "progress\tmetric loss\t0.5\n" in shown
    assert (done["begun"], done["stages"], done["step"]) == (3, [], 7)
    assert (running["done"], done["done"]) == (1, 3)
    assert [(row["outcome"], row["metrics"]) for row in partial] == [("running", running["metrics"])]
    assert [row["outcome"] for row in results] == ["succeeded"]


def test_a_run_that_fails_keeps_its_metrics(daemon: RunningDaemon, project: Path, gate: Path) -> None:
    """What a failing training had written last is in `show`, though there is no commit, and however soon it failed."""
    daemon.expctl(project, "submit", "-n", "bad", "-S", "end=3")
    gate.read_text()
    gate.write_text("go on\n")
    daemon.run_expctl(project, "wait", "bad")

    entry = _entry(daemon, project, "bad")
    assert (entry["outcome"], entry["exit_code"]) == ("failed", 3)
    shown = daemon.expctl(project, "show", "bad")
    assert "progress\tstep\t7\n" in shown
    assert "progress\tmetric acc.top1\t0.25\n" in shown
    assert _progress(daemon, project, "bad")["begun"] == 2
    (row,) = rows(daemon.expctl_json(project, "show"), "experiments")
    assert (row["name"], row["rev"], row["outcome"]) == ("bad", None, "failed")
    assert (row["params"], row["metrics"]) == ({"end": 3}, {"loss": 0.5, "acc.top1": 0.25})
    why = daemon.expctl(project, "why", "bad")
    assert "stages done\t1 of 3\nstep\t7\nmetric\tloss=0.5\nmetric\tacc.top1=0.25\n" in why


def test_follow_tells_how_far_a_run_is(daemon: RunningDaemon, project: Path, gate: Path) -> None:
    """Programs that follow hear of stage, step and metrics while the run goes on, and of its end; nothing comes after that."""
    daemon.expctl(project, "submit", "-n", "watched")
    with daemon.start_expctl(project, "follow", "watched", "--json") as following:
        assert following.stdout is not None
        gate.read_text()
        events = map(json.loads, following.stdout)
        told = next(event for event in events if event.get("step") == 7)
        gate.write_text("go on\n")
        rest = list(events)

    assert (told["begun"], told["done"], told["metrics"]) == (2, 1, {"loss": 0.5, "acc.top1": 0.25})
    assert [stage["name"] for stage in told["stages"]] == ["train"]
    *_before, last, end = rest
    assert (last["event"], last["done"], last["stages"], last["step"]) == ("progress", 3, [], 7)
    assert (end["event"], end["exit_code"]) == ("ended", 0)


def test_a_run_that_is_cancelled_keeps_its_metrics(daemon: RunningDaemon, project: Path, gate: Path) -> None:
    """The newest metrics of a cancelled run are kept."""
    daemon.expctl(project, "submit", "-n", "given-up")
    _hold(daemon, project, "given-up", gate)
    daemon.expctl(project, "cancel", "given-up")
    daemon.run_expctl(project, "wait", "given-up")

    assert _entry(daemon, project, "given-up")["outcome"] == "cancelled"
    assert _progress(daemon, project, "given-up")["metrics"] == {"loss": 0.5, "acc.top1": 0.25}


def test_a_run_that_is_lost_keeps_what_was_heard_of_it(daemon: RunningDaemon, project: Path, gate: Path) -> None:
    """With its worker killed, a run has the progress that its daemon heard last."""
    daemon.expctl(project, "submit", "-n", "gone", "--retry-on", "none")
    _hold(daemon, project, "gone", gate)
    workers = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "expd.execute" in (process.info["cmdline"] or []) and str(daemon.socket) in process.info["cmdline"]
    ]
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
    daemon.run_expctl(project, "wait", "gone")

    assert _entry(daemon, project, "gone")["outcome"] == "lost"
    assert _progress(daemon, project, "gone")["step"] == 7


def test_the_next_daemon_is_told_how_far_a_run_is(daemon: RunningDaemon, project: Path, gate: Path) -> None:
    """After kill -9 of the daemon, the worker tells the next one stage, step and metrics again."""
    daemon.expctl(project, "submit", "-n", "survivor")
    before = _hold(daemon, project, "survivor", gate)
    daemon.kill()
    daemon.restart()
    eventually(lambda: _progress(daemon, project, "survivor"), "the worker reports again")

    assert _progress(daemon, project, "survivor") == before
    gate.write_text("go on\n")
    daemon.expctl(project, "wait", "survivor")
    assert _entry(daemon, project, "survivor")["outcome"] == "succeeded"


def test_the_estimate_is_what_the_stage_took_before(daemon: RunningDaemon, project: Path, gate: Path) -> None:
    """The second run of a stage is told with the time that the first took."""
    daemon.expctl(project, "submit", "-n", "first")
    _hold(daemon, project, "first", gate)
    gate.write_text("go on\n")
    daemon.expctl(project, "wait", "first")
    context = daemon.expctl_json(project, "inspect", "first")["context"]
    assert isinstance(context, dict)
    took = {stage["name"]: stage["seconds"] for stage in context["stages"]}
    daemon.expctl(project, "submit", "-n", "second", "--force")
    second = _hold(daemon, project, "second", gate)
    gate.write_text("go on\n")

    (stage,) = second["stages"] if isinstance(second["stages"], list) else []
    assert stage["estimate_seconds"] == pytest.approx(took["train"])


def test_garbage_beside_a_run_changes_nothing(daemon: RunningDaemon, repository: Path, gate: Path) -> None:
    """Half a file, binary, a huge one and a pipe leave what was told before; the next good file is told, and the run succeeds."""
    live = "dvclive/metrics.json"
    script = f"""\
mkdir dvclive
echo '{{"loss": 0.5, "step": 1}}' > {live}
echo started > '{gate}'; cat '{gate}'
printf '{{"loss": 0.4, "st' > {live}
head -c 300000 /dev/zero > {live}
rm {live}; mkfifo {live}
rm -r dvclive; mkdir dvclive
echo '{{"loss": 0.1, "step": 2}}' > {live}.new; mv {live}.new {live}
echo started > '{gate}'; cat '{gate}'
"""
    daemon.expctl(repository, "submit", "-n", "messy", "--", "sh", "-c", script)
    _hold(daemon, repository, "messy", gate, step=1)
    gate.write_text("go on\n")
    second = _hold(daemon, repository, "messy", gate, step=2)
    gate.write_text("go on\n")
    daemon.expctl(repository, "wait", "messy")

    assert second["metrics"] == {"loss": 0.1}
    assert second["total"] is None


def test_stages_side_by_side_are_all_told(daemon: RunningDaemon, tmp_path: Path, gate: Path) -> None:
    """With --stage-jobs 2 both stages under way are named, and both count as begun."""
    other = tmp_path / "other"
    os.mkfifo(other)
    files = {
        "dvc.yaml": f"""\
stages:
  left: {{cmd: "cat '{gate}' > left.txt", outs: [left.txt]}}
  right: {{cmd: "cat '{other}' > right.txt", outs: [right.txt]}}
""",
        ".gitignore": "/left.txt\n/right.txt\n",
    }
    project = a_repository(tmp_path / "wide", files)
    daemon.expctl(project, "submit", "-n", "both", "--stage-jobs", "2")
    eventually(lambda: _progress(daemon, project, "both").get("begun") == 2, "both stages have begun")
    progress = _progress(daemon, project, "both")
    for pipe in (gate, other):
        pipe.write_text("go on\n")
    daemon.expctl(project, "wait", "both")

    assert progress["total"] == 2
    assert {stage["name"] for stage in rows(progress, "stages")} == {"left", "right"}
