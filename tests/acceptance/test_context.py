"""In what an experiment took place is part of it: shown by `inspect`, noted in Git, and without a secret."""

import os
import subprocess
from pathlib import Path

from helpers.daemons import RunningDaemon, a_daemon
from helpers.repositories import git
from helpers.waiting import eventually

SECRET = "canary-7f3b9c"
NOTES_REF = "refs/notes/expd"


def the_context(daemon: RunningDaemon, repository: Path, name: str) -> dict[str, object]:
    """Give the context that `inspect` shows."""
    context = daemon.expctl_json(repository, "inspect", name)["context"]
    assert isinstance(context, dict)
    return context


def note_on(repository: Path, name: str) -> str:
    """Give the note on an experiment, as git shows it; empty if there is none."""
    (rev,) = git(repository, "for-each-ref", "--format=%(objectname)", f"refs/exps/**/{name}").split()
    shown = subprocess.run(
        ["git", "notes", "--ref=expd", "show", rev], cwd=repository, capture_output=True, text=True, check=False
    )
    return shown.stdout


def everything_in_git(repository: Path) -> bytes:
    """Give the contents of every object of a repository."""
    objects = git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return subprocess.run(
        ["git", "cat-file", "--batch"], cwd=repository, input=objects.encode(), capture_output=True, check=True
    ).stdout


def test_inspect_shows_in_what_an_experiment_took_place(daemon: RunningDaemon, repository: Path) -> None:
    """Machine, interpreter, packages, names of variables, stages and what they took, for people and programs."""
    daemon.expctl(repository, "submit", "-n", "first", "-S", "train.lr=0.5")
    daemon.expctl(repository, "wait", "first")

    context = the_context(daemon, repository, "first")
    lines = [line.split("\t") for line in daemon.expctl(repository, "inspect", "first").splitlines()]

    assert (context["version"], context["attempt"], context["overrides"]) == (1, 1, {"train.lr": 0.5})
    assert context["machine"]["hostname"] == os.uname().nodename  # type: ignore[index]
    assert [(stage["name"], stage["fate"]) for stage in context["stages"]] == [("train", "ran")]  # type: ignore[attr-defined]
    assert ["name", "first"] in lines
    assert ["context", "overrides", "{train.lr: 0.5}"] in lines
    assert ["variable", "PATH", ""] in lines
    assert any(line[0] == "package" and line[1].startswith("trio==") for line in lines)
    assert any(line[:2] == ["stage", "train"] for line in lines)


def test_the_context_is_a_note_when_the_experiment_is_there(daemon: RunningDaemon, repository: Path) -> None:
    """Who waited for an experiment can push it with its note, and whoever fetches both is shown the same."""
    daemon.expctl(repository, "submit", "-n", "first")
    daemon.expctl(repository, "wait", "first")
    context = the_context(daemon, repository, "first")

    clone = daemon.directory / "clone"
    git(repository, "clone", "--quiet", str(repository), str(clone))
    (ref,) = git(repository, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    git(clone, "fetch", "--quiet", "origin", f"{ref}:{ref}", f"{NOTES_REF}:{NOTES_REF}")

    assert '"overrides"' in note_on(repository, "first")
    assert daemon.expctl_json(clone, "inspect", git(clone, "rev-parse", ref))["context"] == context


def test_a_run_that_failed_has_its_context(daemon: RunningDaemon, repository: Path) -> None:
    """There is no experiment to note it on; the queue keeps it."""
    daemon.expctl(repository, "submit", "-n", "broken", "--", "sh", "-c", "exit 3")
    daemon.run_expctl(repository, "wait", "broken")

    context = the_context(daemon, repository, "broken")

    assert context["command"] == ["sh", "-c", "exit 3"]
    assert [(stage["name"], stage["exit_code"]) for stage in context["stages"]] == [("command", 3)]  # type: ignore[attr-defined]
    assert git(repository, "for-each-ref", NOTES_REF) == ""


def test_an_entry_without_a_context_says_so(daemon: RunningDaemon, repository: Path) -> None:
    """What has not run took place nowhere yet."""
    daemon.expctl(repository, "submit", "-n", "waiting", "--hold")

    shown = daemon.run_expctl(repository, "inspect", "waiting")

    assert (shown.returncode, b"no context is known" in shown.stderr) == (0, True)
    assert daemon.expctl_json(repository, "inspect", "waiting")["context"] is None


def test_a_secret_of_the_environment_appears_nowhere(daemon: RunningDaemon, repository: Path) -> None:
    """Not in a note or any other object, an answer, the journal, or what is left of the store once it has succeeded."""
    daemon.environ["PLANTED_API_KEY"] = SECRET
    daemon.expctl(repository, "submit", "-n", "first")
    daemon.expctl(repository, "submit", "-n", "broken", "--", "sh", "-c", "exit 3")
    daemon.run_expctl(repository, "wait", "--all")

    answers = [
        daemon.expctl(repository, verb, *names, *form)
        for verb, names in (("inspect", ["first"]), ("inspect", ["broken"]), ("status", []), ("show", []))
        for form in ([], ["--json"])
    ]

    assert all(SECRET not in answer for answer in answers)
    assert "PLANTED_API_KEY" in answers[0]
    assert SECRET not in daemon.journal()
    assert SECRET.encode() not in everything_in_git(repository)
    logs = [path.read_bytes() for path in (daemon.state / "runs").iterdir()]
    assert all(SECRET.encode() not in log for log in logs)


def test_a_result_does_not_wait_for_ever_for_its_note(repository: Path) -> None:
    """A lock on notes that nobody gives back delays no experiment for long; its note is written by the next daemon."""
    lock = repository / ".git" / "refs" / "notes" / "expd.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    with a_daemon() as daemon:
        daemon.expctl(repository, "submit", "-n", "first")
        daemon.expctl(repository, "wait", "first")
        without_note = note_on(repository, "first")
        context = the_context(daemon, repository, "first")
        daemon.kill()
        lock.unlink()
        daemon.restart()

        eventually(lambda: note_on(repository, "first") != "", "the note is written")

    assert without_note == ""
    assert context["name"] == "first"
