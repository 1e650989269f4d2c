"""`expctl why`, from the shell, of entries in every state: what it says is what there is."""

import os
from pathlib import Path

from helpers.daemons import Json, RunningDaemon
from helpers.repositories import git, write_files
from helpers.waiting import eventually


def _why(daemon: RunningDaemon, repository: Path, entry: str) -> Json:
    return daemon.expctl_json(repository, "why", entry)


def test_a_stage_that_failed_explains_itself(daemon: RunningDaemon, repository: Path) -> None:
    """Phase, stage, command, last lines, what it took, and the directory that was kept, with what the command left there."""
    write_files(repository, {"train.sh": "echo half > half.txt\necho 'sh: 1: tarin: not found' >&2\nexit 127\n"})
    daemon.expctl(repository, "submit", "-n", "broken")
    daemon.run_expctl(repository, "wait", "broken")

    told = _why(daemon, repository, "broken")

    assert told["detail"] == {"kind": "failed", "stage": "train", "exit_code": 127}
    assert (told["phase"], told["stage"], told["command"]) == ("stage", "train", "sh train.sh")
    assert told["last_lines"] == ["sh: 1: tarin: not found"]
    assert Path(str(told["kept"]), "half.txt").read_text() == "half\n"
    assert isinstance(told["seconds"], float)
    assert isinstance(told["hints"], list)
    assert "tarin is not on the PATH" in told["hints"][0]


def test_what_could_not_be_prepared_says_so(daemon: RunningDaemon, repository: Path) -> None:
    """A run whose stash commit is gone ends while it is prepared, in no stage."""
    daemon.expctl(repository, "submit", "--hold", "-n", "gone", "--", "true")
    stash = str(daemon.entries(repository, "gone")[0]["stash_rev"])
    (repository / ".git" / "objects" / stash[:2] / stash[2:]).unlink()
    daemon.expctl(repository, "release", "gone")
    daemon.run_expctl(repository, "wait", "gone")

    told = _why(daemon, repository, "gone")

    assert (told["phase"], told["stage"]) == ("preparing", None)


def test_what_waits_says_for_what(daemon: RunningDaemon, repository: Path) -> None:
    """A held entry names its release, a queued one of a paused pool the pool, and neither has a phase."""
    daemon.expctl(repository, "pause")
    daemon.expctl(repository, "submit", "-n", "queued", "--", "true")
    daemon.expctl(repository, "submit", "--hold", "-n", "held", "--", "true")

    queued, held = (_why(daemon, repository, name) for name in ("queued", "held"))

    assert [_entry(told)["waits_for"] for told in (queued, held)] == [
        "the pool is paused: expctl resume",
        "its release",
    ]
    assert [told["phase"] for told in (queued, held)] == [None, None]
    assert held["hints"] == ["let it run: expctl release 2"]


def _entry(told: Json) -> Json:
    entry = told["entry"]
    assert isinstance(entry, dict)
    return entry


def test_what_runs_says_what_it_does(daemon: RunningDaemon, repository: Path) -> None:
    """While a command runs, its stage, command line and last lines so far are told."""
    gate = repository.parent / "gate"
    os.mkfifo(gate)
    daemon.expctl(repository, "submit", "-n", "runs", "--", "sh", "-c", f"echo so far; echo > '{gate}'; cat '{gate}'")
    gate.read_text()

    told = _why(daemon, repository, "runs")
    gate.write_text("on\n")

    assert (told["phase"], told["stage"], told["last_lines"]) == ("stage", "command", ["so far"])
    assert str(told["command"]).startswith("sh -c 'echo so far;")


def test_a_result_that_cannot_be_filed_names_the_lock(daemon: RunningDaemon, repository: Path) -> None:
    """With its ref locked by somebody, a finished run is collecting, says which file is in the way, and ends when it goes."""
    baseline = git(repository, "rev-parse", "HEAD")
    lock = repository / ".git" / "refs" / "exps" / baseline[:2] / baseline[2:] / "locked.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    daemon.expctl(repository, "submit", "-n", "locked", "--", "true")
    eventually(
        lambda: "locked.lock" in str(_entry(_why(daemon, repository, "locked"))["waits_for"]),
        "the lock that is in the way is named",
    )

    told = _why(daemon, repository, "locked")
    lock.unlink()
    waited = daemon.run_expctl(repository, "wait", "locked")

    assert (_entry(told)["state"], told["phase"]) == ("collecting", "collecting")
    assert "locked.lock" in str(_entry(told)["waits_for"])
    assert waited.returncode == 0


def test_a_sweep_has_to_be_narrowed_down(daemon: RunningDaemon, repository: Path) -> None:
    """Of several points none is guessed: they are named, with exit code 4."""
    daemon.expctl(repository, "submit", "-n", "tuned", "-S", "train.lr=0.1,0.2")

    ran = daemon.run_expctl(repository, "why", "tuned")

    assert ran.returncode == 4
    assert b"1 tuned-1" in ran.stderr
    assert b"2 tuned-2" in ran.stderr
