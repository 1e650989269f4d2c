"""Submit --from: a commit instead of the workspace, whoever made it and however it came here."""

from pathlib import Path

import pytest

from helpers.daemons import RunningDaemon, rows
from helpers.repositories import git, write_files

REF = "refs/heads/sent"


@pytest.fixture
def clone(repository: Path) -> Path:
    """Give a clone whose own workspace has edits and a parameter file that can't be read."""
    git(repository.parent, "clone", "--quiet", str(repository), "clone")
    clone = repository.parent / "clone"
    write_files(clone, {"train.sh": "exit 99\n", "params.yaml": "{", "dvc.yaml": "["})
    return clone


def _stash(daemon: RunningDaemon, repository: Path, *options: str) -> str:
    """Submit edits that wait, and give their stash commit."""
    write_files(repository, {"train.sh": (repository / "train.sh").read_text() + "echo sent\n", "new.txt": "new\n"})
    daemon.expctl(repository, "pause")
    document = daemon.expctl_json(repository, "submit", *options)
    return str(rows(document, "entries")[0]["stash_rev"])


def _metrics(clone: Path, entry: dict[str, object]) -> str:
    return git(clone, "show", f"{entry['experiment_rev']}:metrics.json")


def test_a_stash_commit_that_was_pushed_runs_there(daemon: RunningDaemon, repository: Path, clone: Path) -> None:
    """With new overrides, as a sweep, and without a look at the other workspace, which is as it was."""
    stash = _stash(daemon, repository, "-S", "train.lr=0.5")
    git(repository, "push", "--quiet", str(clone), f"{stash}:{REF}")
    daemon.expctl(repository, "cancel", "1")
    daemon.expctl(repository, "resume")
    before = git(clone, "status", "--porcelain")

    daemon.expctl(clone, "submit", "--from", stash, "-S", "train.lr=1,2", "-n", "sent")
    daemon.expctl(clone, "wait", "sent")

    entries = daemon.entries(clone, "sent")
    assert [_metrics(clone, entry) for entry in entries] == ['{"acc": 1}', '{"acc": 2}']
    assert {entry["baseline_rev"] for entry in entries} == {git(repository, "rev-parse", "HEAD")}
    assert "sent\n" in daemon.expctl(clone, "follow", "sent-1")
    assert git(clone, "show", f"{entries[0]['experiment_rev']}:new.txt") == "new"
    assert git(clone, "status", "--porcelain") == before


def test_an_experiment_is_taken_with_what_it_made(daemon: RunningDaemon, repository: Path) -> None:
    """By its name: its tree on its own baseline, also when HEAD has moved on; its parameter is the new default."""
    daemon.expctl(repository, "submit", "-S", "train.lr=0.3", "-n", "first")
    daemon.expctl(repository, "wait", "first")
    baseline = git(repository, "rev-parse", "HEAD")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "on")

    daemon.expctl(repository, "submit", "--from", "first", "-n", "second", "--", "cat", "metrics.json", "params.yaml")
    daemon.expctl(repository, "wait", "second")

    (entry,) = daemon.entries(repository, "second")
    assert entry["baseline_rev"] == baseline
    assert daemon.expctl(repository, "follow", "second").startswith('{"acc": 0.3}\n')
    assert "lr: 0.3" in daemon.expctl(repository, "follow", "second")


def test_any_other_commit_is_its_own_baseline(daemon: RunningDaemon, repository: Path) -> None:
    """An old commit runs as it is, whatever the workspace holds now."""
    write_files(repository, {"train.sh": "exit 1\n"})
    git(repository, "commit", "--quiet", "--all", "--message", "broken")

    daemon.expctl(repository, "submit", "--from", "HEAD~1", "-n", "old")
    daemon.expctl(repository, "wait", "old")

    (entry,) = daemon.entries(repository, "old")
    assert entry["baseline_rev"] == git(repository, "rev-parse", "HEAD~1")
    assert _metrics(repository, entry) == '{"acc": 0.1}'


def test_a_stash_of_git_itself_is_one_too(daemon: RunningDaemon, repository: Path) -> None:
    """What `git stash` put away runs while it stays in the stash."""
    write_files(repository, {"train.sh": "echo 0 > model.bin\necho '{\"acc\": 9}' > metrics.json\n"})
    git(repository, "stash", "--quiet")

    daemon.expctl(repository, "submit", "--from", "stash@{0}", "-n", "away")
    daemon.expctl(repository, "wait", "away")

    assert _metrics(repository, daemon.entries(repository, "away")[0]) == '{"acc": 9}'
    assert git(repository, "stash", "list") != ""


def test_a_commit_that_is_not_whole_is_refused(daemon: RunningDaemon, repository: Path, clone: Path) -> None:
    """Where an object of it never came, it says so now and not in the run."""
    stash = _stash(daemon, repository)
    git(repository, "push", "--quiet", str(clone), f"{stash}:{REF}")
    blob = git(repository, "rev-parse", f"{stash}:new.txt")
    (clone / ".git/objects" / blob[:2] / blob[2:]).unlink()

    result = daemon.run_expctl(clone, "submit", "--from", REF)

    assert result.returncode == 6
    assert b"new.txt" in result.stderr
    assert len(daemon.entries(clone)) == 1


def test_what_cannot_be_is_refused_by_name(daemon: RunningDaemon, repository: Path, clone: Path) -> None:
    """Copies of a workspace that is not read, an entry of another repository, and what nobody knows."""
    _stash(daemon, repository)

    refused = [
        daemon.run_expctl(place, "submit", "--from", source, *more).returncode
        for place, source, *more in (
            (repository, "1", "-C", "model.bin"),
            (clone, "1"),
            (clone, "nobody"),
        )
    ]

    assert refused == [2, 6, 4]
