"""Retry from the shell: the same state once more, under the same name, each attempt with a log of its own."""

from pathlib import Path

from helpers.daemons import RunningDaemon, rows
from helpers.repositories import git, write_files


def _submit(daemon: RunningDaemon, repository: Path, name: str, script: str, *options: str) -> None:
    daemon.expctl(repository, "submit", "-n", name, *options, "--", "sh", "-c", script)


def test_retry_runs_the_same_state_once_more(daemon: RunningDaemon, repository: Path) -> None:
    """What failed for want of something outside succeeds, with the files it was submitted with and the same id."""
    outside = repository.parent / "outside"
    write_files(repository, {"data.txt": "submitted\n"})
    _submit(daemon, repository, "x", f"cat data.txt; cat '{outside}' && cp data.txt result.txt")
    first = daemon.run_expctl(repository, "wait", "x").returncode
    write_files(repository, {"data.txt": "newer\n"})
    outside.write_text("there now\n")

    daemon.expctl(repository, "retry", "x")
    second = daemon.run_expctl(repository, "wait", "x").returncode

    (entry,) = daemon.entries(repository)
    assert (first, second) == (1, 0)
    assert (entry["id"], entry["name"], entry["attempt"], entry["outcome"]) == (1, "x", 2, "succeeded")
    assert git(repository, "show", f"{entry['experiment_rev']}:result.txt") == "submitted"
    assert daemon.expctl(repository, "follow", "x") == "submitted\nthere now\n"


def test_every_attempt_has_its_log(daemon: RunningDaemon, repository: Path) -> None:
    """`ID@1` is the first attempt with its own outcome; one that was never made is said to be unknown."""
    outside = repository.parent / "outside"
    _submit(daemon, repository, "x", f"echo trying; cat '{outside}'")
    daemon.run_expctl(repository, "wait", "x")
    outside.write_text("there now\n")
    daemon.expctl(repository, "retry", "x")
    daemon.expctl(repository, "wait", "x")

    first, second, third = (daemon.run_expctl(repository, "follow", f"x@{number}") for number in (1, 2, 3))

    assert (first.returncode, second.returncode, third.returncode) == (1, 0, 4)
    assert b"No such file" in first.stdout
    assert second.stdout == b"trying\nthere now\n"


def test_retry_of_a_sweep_takes_what_did_not_succeed(daemon: RunningDaemon, repository: Path) -> None:
    """Of three points the failed and the cancelled one run again; the one that succeeded stays at its result."""
    outside = repository.parent / "outside"
    script = f"grep -q 'lr: 0.1 ' params.yaml || cat '{outside}'"
    daemon.expctl(repository, "submit", "-S", "train.lr=0.1,0.2,0.3", "-n", "lr", "--", "sh", "-c", script)
    daemon.run_expctl(repository, "wait", "lr-1", "lr-2")
    daemon.run_expctl(repository, "cancel", "lr-3")
    daemon.run_expctl(repository, "wait", "lr-3")
    outside.write_text("")

    again = daemon.expctl_json(repository, "retry", "lr")["entries"]
    daemon.run_expctl(repository, "wait", "lr")

    assert isinstance(again, list)
    assert [entry["name"] for entry in again] == ["lr-2", "lr-3"]
    assert [(entry["attempt"], entry["outcome"]) for entry in daemon.entries(repository)] == [
        (1, "succeeded"),
        (2, "succeeded"),
        (2, "succeeded"),
    ]


def test_retry_failed_takes_all_of_this_repository(daemon: RunningDaemon, repository: Path) -> None:
    """All that did not succeed is queued again, but for what was submitted anew under its name."""
    for name, script in (("bad", "exit 1"), ("good", "true"), ("anew", "exit 1"), ("anew", "true")):
        _submit(daemon, repository, name, script)
        daemon.run_expctl(repository, "wait", name)
    daemon.expctl(repository, "pause")

    again = daemon.expctl_json(repository, "retry", "--failed")["entries"]

    assert isinstance(again, list)
    assert [(entry["name"], entry["state"], entry["started_at"], entry["log"]) for entry in again] == [
        ("bad", "queued", None, None)
    ]


def test_what_succeeded_runs_again_by_force_alone(daemon: RunningDaemon, repository: Path) -> None:
    """Refused with the reason; by force its result is replaced under its name, with the environment of who asks."""
    outside = repository.parent / "outside"
    outside.write_text("one\n")
    _submit(daemon, repository, "x", f"cp '{outside}' result.txt; echo $WHO")
    daemon.expctl(repository, "wait", "x")
    outside.write_text("two\n")
    daemon.environ["WHO"] = "me"

    refused = daemon.run_expctl(repository, "retry", "x")
    daemon.expctl(repository, "retry", "--force", "x")
    daemon.expctl(repository, "wait", "x")

    (entry,) = daemon.entries(repository)
    refs = git(repository, "for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", "refs/exps")
    assert (refused.returncode, b"succeeded" in refused.stderr) == (5, True)
    assert refs == f"x {entry['experiment_rev']}"
    assert git(repository, "show", f"{entry['experiment_rev']}:result.txt") == "two"
    assert daemon.expctl(repository, "follow", "x") == "me\n"


def test_other_parameters_are_a_new_entry(daemon: RunningDaemon, repository: Path) -> None:
    """From what was captured, not from the workspace: the old entry stays, and both overrides count; a sweep is several."""
    write_files(repository, {"data.txt": "submitted\n"})
    script = "cat data.txt params.yaml > result.txt; grep -q 'lr: 0.5' params.yaml"
    daemon.environ["WHO"] = "first"
    _submit(daemon, repository, "x", script + "; code=$?; echo $WHO; exit $code", "-S", "+train.layers=3")
    daemon.run_expctl(repository, "wait", "x")
    write_files(repository, {"data.txt": "newer\n"})
    daemon.environ["WHO"] = "second"

    (new,) = rows(daemon.expctl_json(repository, "retry", "x", "-S", "train.lr=0.5", "-n", "y"), "entries")
    sweep = rows(daemon.expctl_json(repository, "retry", "x", "-S", "train.lr=0.1,0.2"), "entries")
    code = daemon.run_expctl(repository, "wait", "y").returncode

    (entry,) = daemon.entries(repository, "y")
    result = git(repository, "show", f"{entry['experiment_rev']}:result.txt")
    assert (new["id"], new["params"], code) == (2, {"train.layers": 3, "train.lr": 0.5}, 0)
    assert (result.startswith("submitted\n"), "layers: 3" in result) == (True, True)
    assert daemon.expctl(repository, "follow", "y") == "first\n"
    assert len(sweep) == 2
    assert daemon.entries(repository, "x")[0]["attempt"] == 1


def test_what_has_not_ended_is_not_tried_again(daemon: RunningDaemon, repository: Path) -> None:
    """A first attempt that still waits is refused; one that was asked for already is shown, and not made twice."""
    daemon.expctl(repository, "pause")
    _submit(daemon, repository, "waits", "true")
    _submit(daemon, repository, "ended", "true")
    daemon.expctl(repository, "cancel", "ended")

    refused = daemon.run_expctl(repository, "retry", "waits")
    attempts = [daemon.expctl_json(repository, "retry", "ended")["entries"] for _again in range(2)]

    assert refused.returncode == 5
    assert attempts[0] == attempts[1]


def test_a_name_that_is_taken_meanwhile_is_no_longer_free(daemon: RunningDaemon, repository: Path) -> None:
    """The entry that waits under the name keeps it, and nothing is queued."""
    daemon.expctl(repository, "pause")
    for _twice in range(2):
        _submit(daemon, repository, "x", "true")
        daemon.expctl(repository, "cancel", "1")

    result = daemon.run_expctl(repository, "retry", "1")

    assert result.returncode == 5
    assert [entry["state"] for entry in daemon.entries(repository)] == ["done", "queued"]


def test_a_run_in_the_workspace_is_tried_again_in_a_worktree(daemon: RunningDaemon, repository: Path) -> None:
    """What it found in the workspace is there no more, but in its stash commit; the workspace is left alone."""
    outside = repository.parent / "outside"
    write_files(repository, {"data.txt": "captured\n"})
    daemon.run_expctl(repository, "run", "-n", "x", "--", "sh", "-c", f"cat '{outside}' && cp data.txt made.txt")
    outside.write_text("there now\n")
    write_files(repository, {"data.txt": "newer\n"})

    daemon.expctl(repository, "retry", "x")
    daemon.expctl(repository, "wait", "x")

    (entry,) = daemon.entries(repository)
    assert (entry["outcome"], entry["mode"]) == ("succeeded", "queue")
    assert git(repository, "show", f"{entry['experiment_rev']}:made.txt") == "captured"
    assert (repository / "data.txt").read_text() == "newer\n"
    assert not (repository / "made.txt").exists()
