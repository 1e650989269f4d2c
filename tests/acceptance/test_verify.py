"""`expctl verify`: an experiment runs again from what was captured, and what came of it is compared."""

import os
from pathlib import Path

from helpers.daemons import RunningDaemon, rows
from helpers.repositories import git, write_files


def _experiments(repository: Path) -> str:
    return git(repository, "for-each-ref", "refs/exps")


def test_what_comes_out_the_same_is_equal(daemon: RunningDaemon, repository: Path) -> None:
    """Every stage runs again although the cache knows it, from the submitted state, and no experiment is added."""
    runs = repository.parent / "runs"
    write_files(repository, {"train.sh": (repository / "train.sh").read_text() + f"echo run >> '{runs}'\n"})
    daemon.expctl(repository, "submit", "-S", "train.lr=0.5", "-n", "tuned")
    daemon.expctl(repository, "wait", "tuned")
    write_files(repository, {"train.sh": "exit 1\n"})
    before = _experiments(repository)

    verified = daemon.expctl_json(repository, "verify", "tuned")

    assert (verified["equal"], verified["differences"], verified["outcome"]) == (True, [], "succeeded")
    assert runs.read_text() == "run\nrun\n"
    assert _experiments(repository) == before
    assert [entry["name"] for entry in daemon.entries(repository)] == ["tuned", "verify-tuned"]


def test_what_comes_out_differently_is_named(daemon: RunningDaemon, repository: Path) -> None:
    """Outputs, metrics and files that depend on something else are named one by one, with an exit code of their own."""
    outside = repository.parent / "outside"
    outside.write_text("1")
    script = f"cat '{outside}' > model.bin; echo \"{{\\\"acc\\\": $(cat '{outside}')}}\" > metrics.json\n"
    write_files(repository, {"train.sh": script})
    daemon.expctl(repository, "submit", "-n", "unsteady")
    daemon.expctl(repository, "wait", "unsteady")
    outside.write_text("2")

    verified = daemon.run_expctl(repository, "verify", "unsteady", "--json")
    told = daemon.run_expctl(repository, "verify", "unsteady")

    assert (verified.returncode, told.returncode) == (9, 9)
    named = [line.split("\t")[:2] for line in told.stdout.decode().splitlines()]
    assert named == [["output", "model.bin"], ["metric", "metrics.json:acc"], ["file", "metrics.json"]]
    assert b"metrics.json:acc\t1\t2\n" in told.stdout


def test_a_repetition_that_fails_is_no_difference(daemon: RunningDaemon, repository: Path) -> None:
    """Its outcome is passed on, and `why` is pointed to."""
    outside = repository.parent / "outside"
    outside.write_text("0")
    daemon.expctl(repository, "submit", "-n", "once", "--", "sh", "-c", f"exit $(cat '{outside}')")
    daemon.expctl(repository, "wait", "once")
    outside.write_text("7")

    verified = daemon.run_expctl(repository, "verify", "once")

    assert verified.returncode == 7
    assert b"expctl why" in verified.stderr


def test_an_experiment_without_an_entry_is_repeated_from_its_commit(daemon: RunningDaemon, repository: Path) -> None:
    """One that is known as a ref only, as DVC's own are, runs from its own commit."""
    daemon.expctl(repository, "submit", "-S", "train.lr=0.5", "-n", "tuned")
    daemon.expctl(repository, "wait", "tuned")
    daemon.expctl(repository, "remove", "tuned")

    verified = daemon.expctl_json(repository, "verify", "tuned")

    assert verified["equal"] is True
    assert len(rows({"entries": daemon.entries(repository)}, "entries")) == 1


def test_what_has_no_result_is_not_verified(daemon: RunningDaemon, repository: Path) -> None:
    """There is nothing to compare with, and nothing is queued."""
    daemon.expctl(repository, "submit", "-n", "bad", "--", "false")
    daemon.run_expctl(repository, "wait", "bad")

    refused = daemon.run_expctl(repository, "verify", "bad")

    assert refused.returncode == 1
    assert [entry["name"] for entry in daemon.entries(repository)] == ["bad"]


def test_a_verification_is_held_by_itself(daemon: RunningDaemon, repository: Path) -> None:
    """The entry it repeats may be removed while it runs; nothing it needs goes with it."""
    gate = repository.parent / "gate"
    write_files(
        repository, {"train.sh": (repository / "train.sh").read_text() + f"[ ! -p '{gate}' ] || cat '{gate}'\n"}
    )
    daemon.expctl(repository, "submit", "-n", "tuned")
    daemon.expctl(repository, "wait", "tuned")
    os.mkfifo(gate)
    daemon.expctl(repository, "submit", "--hold", "-n", "other", "--", "true")
    verifying = daemon.start_expctl(repository, "verify", "tuned")
    with gate.open("w") as writing:
        daemon.expctl(repository, "remove", "tuned")
        git(repository, "gc", "--quiet", "--prune=now")
        writing.write("go on\n")

    verifying.communicate(timeout=60)

    assert verifying.returncode == 0
